// Command kvctl gets, puts and deletes keys of a kvd. It is installed beside the
// server and replaced together with it.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// version is set when the program is linked.
var version = "1.0.0-dev"

const usage = `usage: kvctl [-data DIR] get KEY | put KEY VALUE | delete KEY | version

DIR is the data directory of the kvd to talk to (default kvd-data); it holds
where the server is and who may use it.
`

func main() {
	data := flag.String("data", "kvd-data", "data directory of the server")
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	flag.Parse()
	if err := run(*data, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kvctl:", err)
		os.Exit(1)
	}
}

func run(data string, args []string, out io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == "version":
		fmt.Fprintln(out, version)
		return nil
	case len(args) == 2 && args[0] == "get":
		return call(data, http.MethodGet, args[1], "", out)
	case len(args) == 3 && args[0] == "put":
		return call(data, http.MethodPut, args[1], args[2], io.Discard)
	case len(args) == 2 && args[0] == "delete":
		return call(data, http.MethodDelete, args[1], "", io.Discard)
	}
	return errors.New(strings.TrimSpace(usage))
}

func call(data, method, key, value string, out io.Writer) error {
	base, err := os.ReadFile(filepath.Join(data, "url"))
	if err != nil {
		return fmt.Errorf("where is the server? %w", err)
	}
	users, err := os.ReadFile(filepath.Join(data, "users"))
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(users), "\n")
	name, password, _ := strings.Cut(line, ":")
	req, err := http.NewRequest(method, strings.TrimSpace(string(base))+"/api/v3/kv/"+url.PathEscape(key), bytes.NewReader([]byte(value)))
	if err != nil {
		return err
	}
	req.SetBasicAuth(name, password)
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct {
		Value    string   `json:"value"`
		Messages []string `json:"Messages"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if res.StatusCode >= 400 {
		return fmt.Errorf("%s: %s", res.Status, strings.Join(answer.Messages, "; "))
	}
	_, err = fmt.Fprintln(out, answer.Value)
	return err
}
