package system_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// disk is the disk under a server: each call that writes to a file is handed over to it (testdata/baddisk.c), and it lets
// the call through, fails it, or writes a part of what was to be written.
type disk struct {
	t       testing.TB
	socket  string
	library string
	over    chan struct{} // closed at the end of the test

	mu     sync.Mutex
	faults []fault
	hits   int // calls that met a fault
}

// fault is what goes wrong until the disk is well again.
type fault struct {
	at    string // part of the path of the file
	op    string // "write", "sync", "rename" or "truncate"
	after int    // so many of these calls still succeed
	syncs int    // so many syncs of these files still succeed, before the fault begins
	errno syscall.Errno
	torn  bool // of the first of these writes half is done, as where the last block of a disk is taken
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	dir, err := os.MkdirTemp("", "disk") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{t: t, socket: filepath.Join(dir, "s"), library: filepath.Join(dir, "baddisk.so"), over: make(chan struct{})}
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", d.library, "testdata/baddisk.c").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.socket})
	if err != nil {
		t.Fatal(err)
	}
	var servers sync.WaitGroup
	servers.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			servers.Go(func() { d.serve(c) })
		}
	})
	t.Cleanup(func() {
		close(d.over)
		_ = l.Close()
		servers.Wait()
		_ = os.RemoveAll(dir)
	})
	return d
}

// env is what a server on this disk is started with.
func (d *disk) env() []string { return []string{"LD_PRELOAD=" + d.library, "BADDISK=" + d.socket} }

// well: everything is written.
func (d *disk) well() { d.set() }

// fails: after so many commits of the database, what is written (write) or made durable (sync) of it fails with this error;
// 0 is none.
func (d *disk) fails(commits int, write, sync syscall.Errno) {
	var all []fault
	if write != 0 {
		all = append(all, fault{at: "/data/db/", op: "write", syncs: commits, errno: write})
	}
	if sync != 0 {
		all = append(all, fault{at: "/data/db/", op: "sync", syncs: commits, errno: sync})
	}
	d.set(all...)
}

func (d *disk) set(faults ...fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults, d.hits = faults, 0
}

// hit says how many calls met a fault since it was set.
func (d *disk) hit() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hits
}

// notification and response are struct seccomp_notif and struct seccomp_notif_resp (seccomp_unotify(2)).
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// serve answers the calls of one server until it ends.
func (d *disk) serve(c *net.UnixConn) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(make([]byte, 1), oob)
	_ = c.Close()
	if err != nil || n == 0 {
		return
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		d.t.Errorf("the bad disk got no descriptor: %v", err)
		return
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		d.t.Errorf("the bad disk got no descriptor: %v", err)
		return
	}
	defer func() { _ = unix.Close(fds[0]) }()
	for {
		select {
		case <-d.over:
			return
		default:
		}
		const look = 100 // milliseconds
		poll := []unix.PollFd{{Fd: int32(fds[0]), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, look); err != nil && err != unix.EINTR {
			d.t.Errorf("the bad disk: %v", err)
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			if poll[0].Revents&unix.POLLHUP != 0 {
				return // the server has ended
			}
			continue
		}
		var asked notification
		if call(fds[0], unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&asked)) != 0 {
			continue // whoever asked was killed
		}
		answer := d.judge(asked)
		_ = call(fds[0], unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&answer)) // whoever asked may have been killed
	}
}

func call(fd int, request uint, argument unsafe.Pointer) syscall.Errno {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(argument))
		if errno != unix.EINTR {
			return errno
		}
	}
}

// judge decides on one call.
func (d *disk) judge(asked notification) response {
	through := response{id: asked.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	op, path := d.what(asked)
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := range d.faults {
		f := &d.faults[n]
		if !strings.Contains(path, f.at) {
			continue
		}
		if f.syncs > 0 {
			if op == "sync" {
				f.syncs--
			}
			continue
		}
		if op != f.op {
			continue
		}
		if f.after > 0 {
			f.after--
			continue
		}
		d.hits++
		if !f.torn || asked.args[2] < 2 {
			return response{id: asked.id, error: -int32(f.errno)}
		}
		f.torn = false
		written, err := half(asked)
		if err != nil {
			d.t.Errorf("writing a part of %s: %v", path, err)
			return through
		}
		return response{id: asked.id, val: written}
	}
	return through
}

// what says which kind of call it is and which file it is about.
func (d *disk) what(asked notification) (op, path string) {
	byFD := func() string {
		path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", asked.pid, int32(asked.args[0])))
		return path
	}
	switch asked.nr {
	case unix.SYS_WRITE, unix.SYS_PWRITE64:
		return "write", byFD()
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		return "sync", byFD()
	case unix.SYS_FTRUNCATE:
		return "truncate", byFD()
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2: // the new name, perhaps in a directory that is open
		path = text(asked.pid, asked.args[3])
		if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", asked.pid, int32(asked.args[2]))); err == nil && !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return "rename", path
	}
	return "rename", text(asked.pid, asked.args[1])
}

// text reads a string from the memory of a thread.
func text(pid uint32, address uint64) string {
	b := make([]byte, 4096)
	n, _ := peek(pid, address, b)
	s, _, _ := strings.Cut(string(b[:n]), "\x00")
	return s
}

func peek(pid uint32, address uint64, b []byte) (int, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	return f.ReadAt(b, int64(address)) //nolint:gosec // an address of user space
}

// half does half of a write in the place of the server, and returns how much that was.
func half(asked notification) (int64, error) {
	b := make([]byte, asked.args[2]/2)
	if _, err := peek(asked.pid, asked.args[1], b); err != nil {
		return 0, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", asked.pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "\nTgid:\t")
	var process int
	if _, err := fmt.Sscan(rest, &process); err != nil {
		return 0, err
	}
	pid, err := unix.PidfdOpen(process, 0)
	if err != nil {
		return 0, fmt.Errorf("pidfd_open: %w", err)
	}
	defer func() { _ = unix.Close(pid) }()
	fd, err := unix.PidfdGetfd(pid, int(int32(asked.args[0])), 0) // shares the offset
	if err != nil {
		return 0, fmt.Errorf("pidfd_getfd: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	var n int
	if asked.nr == unix.SYS_PWRITE64 {
		n, err = unix.Pwrite(fd, b, int64(asked.args[3])) //nolint:gosec // an offset
	} else {
		n, err = unix.Write(fd, b)
	}
	return int64(n), err
}

// TestBadDiskIsBad: the layout of what the kernel hands over is the one that is read here.
func TestBadDiskIsBad(t *testing.T) {
	if n := binary.Size(notification{}); n != 80 || binary.Size(response{}) != 24 {
		t.Fatalf("%d and %d bytes", n, binary.Size(response{}))
	}
	d := newDisk(t)
	file := filepath.Join(t.TempDir(), "victim")
	run := func(script string) (string, error) {
		cmd := exec.Command("sh", "-c", script)
		cmd.Env = append(os.Environ(), d.env()...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("printf hello > " + file); err != nil {
		t.Fatalf("on a good disk: %v\n%s", err, out)
	}
	d.set(fault{at: "/victim", op: "write", errno: syscall.ENOSPC})
	if out, err := run("printf lost > " + file); err == nil || d.hit() == 0 {
		t.Errorf("full: %v, %d hits\n%s", err, d.hit(), out)
	}
	d.set(fault{at: "/victim", op: "write", torn: true, errno: syscall.ENOSPC})
	_, _ = run("printf abcdefgh > " + file)
	got, err := os.ReadFile(file)
	if err != nil || d.hit() == 0 || string(got) != "abcd" {
		t.Errorf("a part: %q, %v, %d hits", got, err, d.hit())
	}
	d.set(fault{at: "/nobody", op: "rename", errno: syscall.EIO})
	if out, err := run("mv " + file + " " + file + ".other"); err != nil || d.hit() != 0 {
		t.Errorf("another name: %v\n%s", err, out)
	}
}
