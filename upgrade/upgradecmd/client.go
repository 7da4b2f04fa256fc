package upgradecmd

import (
	"context"
	"io"
	"iter"

	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// A client is what the commands need of an httpapi.Client.
type client interface {
	Stage(ctx context.Context, body io.Reader, size int64, o httpapi.UploadOptions) (upgrade.Staged, error)
	Run(ctx context.Context, o upgrade.StartOptions) (string, error)
	Retry(ctx context.Context, o upgrade.RetryOptions) (string, error)
	Rollback(ctx context.Context, o upgrade.RollbackOptions) (string, error)
	Commit(ctx context.Context) error
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	Unstage(ctx context.Context) error
	Check(ctx context.Context, o upgrade.CheckOptions) (upgrade.CheckReport, error)
	Plan(ctx context.Context, o upgrade.CheckOptions) (upgrade.PlanReport, error)
	Status(ctx context.Context) (upgrade.Status, error)
	Watch(ctx context.Context, o httpapi.WatchOptions) iter.Seq2[httpapi.Event, error]
}

var _ client = (*httpapi.Client)(nil)

// connect makes the client for a command. It sends nothing by itself, but a host
// that logs in may.
func (s *session) connect(ctx context.Context) (client, error) {
	if len(s.endpoints) == 0 {
		return nil, usagef("no server to speak to: give --endpoint URL, or set %sENDPOINTS", s.EnvPrefix)
	}
	s.reporter.doing("connecting to " + clean(s.endpoints[0]))
	config, err := s.reach(ctx, s.options, Target{Endpoints: s.endpoints})
	if err != nil {
		return nil, err
	}
	return httpapi.NewClient(config)
}

// connectAlone is connect for a command that takes no words: alone says so.
func (s *session) connectAlone(ctx context.Context, args []string, alone string) (client, error) {
	if len(args) > 0 {
		return nil, usagef("%s", alone)
	}
	return s.connect(ctx)
}

// begin is connectAlone, and reads the status before anything is done.
func (s *session) begin(ctx context.Context, args []string, alone string) (client, upgrade.Status, error) {
	c, err := s.connectAlone(ctx, args, alone)
	if err != nil {
		return nil, upgrade.Status{}, err
	}
	before, err := c.Status(ctx)
	return c, before, err
}

// reach says how to get to a server.
func (t *tree) reach(ctx context.Context, o options, target Target) (httpapi.ClientConfig, error) {
	config := httpapi.ClientConfig{Servers: target.Endpoints}
	if o.tokenFile != "" {
		var err error
		if target.Token, err = readSecret(o.tokenFile); err != nil {
			return config, err
		}
		config.Auth = httpapi.BearerAuth(target.Token)
	}
	if t.Connect != nil {
		return t.Connect(ctx, target)
	}
	return config, nil
}
