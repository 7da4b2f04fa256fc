package tracking

import (
	"encoding/json"
	"fmt"
)

// A Gist is what of a Run a member needs to know that has no part in it: whether
// there is anything for it yet. It is a small share of the work of DecodeRun.
type Gist struct {
	ID     string `json:"id"`
	Status Status `json:"status"`

	Turns []struct {
		Member string `json:"member"`
		To     string `json:"to"`
	} `json:"turns"`
}

// DecodeGist reads what a Gist holds from the value of KeyRun, on the terms of
// DecodeRun; of damage in the transcript it knows nothing.
func DecodeGist(data []byte) (Gist, error) {
	if len(data) == 0 {
		return Gist{}, nil
	}
	if run, _, found := cutLog(data); found {
		data = run
	}
	if _, err := checkFormat(data); err != nil {
		return Gist{}, fmt.Errorf("tracking: decode %s: %w", KeyRun, err)
	}
	var g Gist
	if err := json.Unmarshal(data, &g); err != nil {
		return Gist{}, damaged(KeyRun, err)
	}
	return g, nil
}

// Names reports whether member has a turn, or is to lead in place of one that
// has.
func (g Gist) Names(member string) bool {
	for _, t := range g.Turns {
		if t.Member == member || t.To == member {
			return true
		}
	}
	return false
}
