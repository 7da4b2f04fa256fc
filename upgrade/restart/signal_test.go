//go:build unix

package restart

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"
)

func TestSignalsWhileStarting(t *testing.T) {
	if runtime.GOOS != "linux" {
		skip(t, "needs Linux")
	}
	p := run(t, serverConfig{Init: 200 * time.Millisecond}, nil)
	stop := make(chan struct{})
	ended := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				ended <- n
				return
			default:
				p.cmd.Process.Signal(syscall.SIGHUP)
				p.cmd.Process.Signal(syscall.SIGUSR1)
				n++
				time.Sleep(time.Millisecond)
			}
		}
	}()
	for range 3 {
		p.restart()
	}
	close(stop)
	t.Logf("%d signals of each kind survived", <-ended)
}

// The protection ends with Ready: who does not ask for SIGHUP dies of it again.
func TestSignalAfterReady(t *testing.T) {
	if runtime.GOOS != "linux" {
		skip(t, "needs Linux")
	}
	// Where SIGHUP is ignored already, as under nohup, children inherit that: they
	// do not if it is handled here.
	hups := make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP)
	defer signal.Stop(hups)
	for _, asked := range []bool{true, false} {
		t.Run(fmt.Sprintf("asked=%v", asked), func(t *testing.T) {
			p := run(t, serverConfig{Late: true, Silent: true}, nil)
			p.tell("ready")
			p.restart()
			p.cmd.Process.Signal(syscall.SIGHUP) // ignored
			if asked {
				p.tell("notify")
			}
			p.tell("ready")
			p.cmd.Process.Signal(syscall.SIGHUP)
			if asked {
				p.tell("still there?")
				return
			}
			if _, err := p.out.ReadByte(); err == nil {
				t.Fatal("the server still talks")
			}
			ws := p.wait().Sys().(syscall.WaitStatus)
			if !ws.Signaled() || ws.Signal() != syscall.SIGHUP {
				t.Errorf("ended with %v, want by SIGHUP", ws)
			}
		})
	}
}
