package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// syncs is how often the disk's latency is sampled.
const syncs = 200

// describe says on what the figures were taken. What cannot be found out is left empty.
func describe(ctx context.Context, program, module, dir string) (Machine, error) {
	m := Machine{CPU: cpuModel(), Load: load1(), Cores: runtime.NumCPU(), Go: runtime.Version(), Module: module}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return Machine{}, err
	}
	m.OS = fmt.Sprintf("%s %s %s", unix.ByteSliceToString(name.Sysname[:]), unix.ByteSliceToString(name.Release[:]), runtime.GOARCH)
	m.Program = firstLine(exec.CommandContext(ctx, program, "--version"))
	if strings.Contains(module, "softhsm") {
		m.HSMVersion = firstLine(exec.CommandContext(ctx, "softhsm2-util", "--version"))
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return Machine{}, err
	}
	m.Filesystem = filesystem(int64(fs.Type)) //nolint:unconvert // its type differs between architectures
	var err error
	m.SyncMS, err = syncLatency(dir)
	return m, err
}

func firstLine(c *exec.Cmd) string {
	out, err := c.Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// cpuModel returns the name that Linux shows, or "".
func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// load1 returns the load average of the last minute (proc(5)), or 0.
func load1() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}

// filesystem names the common ones; a figure taken on tmpfs says nothing on durable commits.
func filesystem(magic int64) string {
	if name, ok := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
		unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", 0x2fc12fc1: "zfs",
	}[magic]; ok {
		return name
	}
	return fmt.Sprintf("type %#x", magic)
}

// syncLatency appends to a file as a write-ahead log does and measures how long it takes to be durable.
func syncLatency(dir string) (Quantiles, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return Quantiles{}, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	block := bytes.Repeat([]byte("log "), 1024)
	took := make([]time.Duration, syncs)
	for i := range took {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return Quantiles{}, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return Quantiles{}, err
		}
		took[i] = time.Since(start)
	}
	return quantiles(took), nil
}

// ownCPU is the CPU time of this process so far, user and system.
func ownCPU() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// userHZ is the unit of CPU times in /proc, the same on every Linux.
const userHZ = 100

// processCPU is the CPU time of another process so far, user and system, to 10 ms (proc(5), /proc/PID/stat).
func processCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStat(string(b))
}

// parseStat reads utime and stime, fields 14 and 15. The second field is a name in parentheses that may hold anything.
func parseStat(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("bench: /proc/PID/stat has an unknown form")
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("bench: /proc/PID/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / userHZ), nil
}
