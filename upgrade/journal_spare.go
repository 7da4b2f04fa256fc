package upgrade

import (
	"bytes"
	"errors"
	"io/fs"
	"os"

	"github.com/leaderlast/leaderlast/internal/durable"
)

// journalRoom is what the journal takes up while a program may have to be put
// back, or a multiple of it: ample for all that it comes to say then.
const journalRoom = 8 << 10

// inFlight reports whether it may become necessary to put a program back.
func (j journal) inFlight() bool {
	return j.Phase != phaseNone && (j.Phase != phaseRunning || !j.Confirmed)
}

// write writes data durably. A disk that fills up after the swap must not keep the
// journal from saying how often the new program was started, and that the old one
// is put back; so from before the swap until then there is a second file that the
// journal can be written into, and each of the two has the room of the other.
func (j journal) write(p Program, data []byte) (err error) {
	path, spare := p.journalPath(), p.sparePath()
	if j.inFlight() {
		data = append(data, bytes.Repeat([]byte{' '}, journalRoom-len(data)%journalRoom)...)
		info, serr := os.Lstat(spare)
		if errors.Is(serr, fs.ErrNotExist) || serr == nil && info.Mode().IsRegular() && info.Size() < int64(len(data)) {
			defer func() {
				if err != nil { // the journal is as it was, and so is what lies beside it
					_ = removeOwn(spare)
				}
			}()
			serr = durable.MakeSpare(spare, len(data), 0o600)
			if serr != nil && j.Phase == phaseClaimed { // later it is better than nothing to go on without
				return serr
			}
		}
	}
	err = durable.WriteFile(path, data, 0o600)
	if durable.NoRoom(err) && !errors.Is(err, durable.ErrUnsynced) {
		switch e := durable.WriteSpare(path, spare, data); {
		case e == nil:
			err = nil
		case !errors.Is(e, fs.ErrNotExist):
			err = errors.Join(err, e)
		}
	}
	if err == nil && !j.inFlight() {
		_ = removeOwn(spare) // the next start sweeps it
	}
	return err
}
