package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// reader is what audit list and audit follow have in common.
type reader struct {
	dir, key     string
	start        int64
	kinds        []string
	filter       pb.EntryFilter
	from, before string
	raw          bool

	vkey string
	head []byte // newest one that was verified
	out  io.Writer
}

func (r *reader) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.key, "key", "", "file with the public key of the log; every entry and head is then verified with it")
	f.Int64Var(&r.start, "start", 0, "index of the first entry wanted")
	f.StringSliceVar(&r.kinds, "kind", nil, "kind of event, such as signing.signed; several are possible")
	f.StringVar(&r.filter.OperationId, "operation", "", "only of this operation")
	f.StringVar(&r.filter.EnrolmentId, "enrolment", "", "only of this enrolment")
	f.StringVar(&r.filter.CredentialId, "credential", "", "only of this credential")
	f.StringVar(&r.filter.Client, "by", "", "only what this client asked, or what is about it")
	f.StringVar(&r.from, "from", "", "only since then (RFC 3339, such as 2026-11-25T08:00:00Z)")
	f.StringVar(&r.before, "before", "", "only before then")
	f.BoolVar(&r.raw, "json", false, "print the entries as they are, one a line")
	profile(c, &r.dir)
}

// prepare reads what the flags name.
func (r *reader) prepare(out io.Writer) error {
	r.out, r.filter.Kinds = out, r.kinds
	for _, t := range []struct {
		text string
		to   **timestamppb.Timestamp
	}{{r.from, &r.filter.FromTime}, {r.before, &r.filter.BeforeTime}} {
		if t.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, t.text)
		if err != nil {
			return fmt.Errorf("%q is no time; write it as 2026-11-25T08:00:00Z", t.text)
		}
		*t.to = timestamppb.New(at)
	}
	if r.key == "" {
		return nil
	}
	b, err := os.ReadFile(r.key)
	r.vkey = strings.TrimSpace(string(b))
	return err
}

// take verifies and prints entries under a head. A head that is not the one before must have grown from it.
func (r *reader) take(ctx context.Context, conn *client.Conn, entries []*pb.LogEntry, head []byte) error {
	if r.vkey != "" && string(head) != string(r.head) {
		if err := r.grown(ctx, conn, head); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if r.vkey != "" {
			if err := audit.VerifyInclusion(r.vkey, e.GetIndex(), e.GetEntry(), e.GetProof(), r.head); err != nil {
				return fmt.Errorf("entry %d: %w", e.GetIndex(), err)
			}
		}
		if r.raw {
			fmt.Fprintf(r.out, "%s\n", e.GetEntry())
		} else {
			fmt.Fprintln(r.out, readable(e.GetIndex(), e.GetEntry()))
		}
	}
	return nil
}

// grown accepts a newer head. The server proves the growth up to its newest head, which may be later than the given one.
func (r *reader) grown(ctx context.Context, conn *client.Conn, head []byte) error {
	opened, err := audit.OpenHead(r.vkey, head)
	if err != nil {
		return err
	}
	if r.head != nil {
		for _, older := range [][]byte{r.head, head} {
			h, err := audit.OpenHead(r.vkey, older)
			if err != nil {
				return err
			}
			if h.Size > opened.Size {
				return fmt.Errorf("%w: %d entries, there were %d", audit.ErrBehind, opened.Size, h.Size)
			}
			p, err := conn.Audit.GetConsistencyProof(ctx, &pb.GetConsistencyProofRequest{OldSize: h.Size})
			if err != nil {
				return err
			}
			if err := audit.VerifyGrowth(r.vkey, older, p.GetCheckpoint(), p.GetHashes()); err != nil {
				return err
			}
		}
	}
	r.head = head
	return nil
}

// readable writes an entry as one line: index, time, kind, and its fields in their order. Bytes are cut to what people
// compare.
func readable(index int64, entry []byte) string {
	at, event, err := audit.Decode(entry)
	if err != nil {
		return fmt.Sprintf("%8d  not an entry: %v", index, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%8d  %s  %-20s", index, at.Format("2006-01-02 15:04:05.000"), audit.Kind(event))
	d := json.NewDecoder(strings.NewReader(string(entry)))
	_, _ = d.Token() // Decode has read all of it
	for d.More() {
		name, _ := d.Token()
		var value any
		if d.Decode(&value) != nil {
			break
		}
		if name != "v" && name != "type" && name != "at" {
			fmt.Fprintf(&b, " %s=%s", name, short(value))
		}
	}
	return b.String()
}

func short(value any) string {
	switch v := value.(type) {
	case []any:
		parts := make([]string, 0, 3)
		for i, x := range v {
			if i == 2 && len(v) > 3 {
				parts = append(parts, fmt.Sprintf("… %d in all", len(v)))
				break
			}
			parts = append(parts, short(x))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case string:
		if len(v) > 40 && !strings.ContainsAny(v, " :") { // a digest
			return v[:12] + "…"
		}
		if strings.Contains(v, " ") {
			return fmt.Sprintf("%q", v)
		}
		return v
	case float64:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprint(value)
}

func auditListCommand() *cobra.Command {
	r := &reader{}
	var most int
	c := &cobra.Command{
		Use: "list", Short: "List entries of the operation log, as the service holds it",
		Long: `list prints entries that a signed head covers, one a line: index, time, kind and fields. With --key, the public key of
the log, every entry is verified, so that nothing depends on the service. The client must be an auditor.`,
		Example: "  ecsigner audit list --key log.vkey --operation OPERATION",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.prepare(cmd.OutOrStdout()); err != nil {
				return err
			}
			return with(r.dir, func(conn *client.Conn) error {
				for next, printed := r.start, 0; printed < most; {
					page, err := conn.Audit.ListEntries(cmd.Context(), &pb.ListEntriesRequest{
						StartIndex: next, PageSize: uint32(min(most-printed, 200)), Filter: &r.filter, WithProofs: r.vkey != "", //nolint:gosec // above 0
					})
					if err != nil {
						return err
					}
					if err := r.take(cmd.Context(), conn, page.GetMatches(), page.GetCheckpoint()); err != nil {
						return err
					}
					printed += len(page.GetMatches())
					if next = page.GetNextIndex(); next >= page.GetCheckpointSize() {
						return nil
					}
				}
				return nil
			})
		},
	}
	c.Flags().IntVar(&most, "most", 1000, "most entries to print")
	r.flags(c)
	return c
}

func auditFollowCommand() *cobra.Command {
	r := &reader{}
	c := &cobra.Command{
		Use: "follow", Short: "Print entries of the operation log as they come",
		Long: `follow prints entries from --start on, and then each that comes, until it is interrupted. With --key, the public key of
the log, every entry is verified, and that each head only added to the one before. A lost connection is made again and
nothing is left out. The client must be an auditor.`,
		Example: "  ecsigner audit follow --key log.vkey --kind signing.signed",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.prepare(cmd.OutOrStdout()); err != nil {
				return err
			}
			return with(r.dir, func(conn *client.Conn) error {
				ctx := cmd.Context()
				for {
					err := r.follow(ctx, conn)
					if c := status.Code(err); ctx.Err() == nil && c != codes.DeadlineExceeded && c != codes.Unavailable {
						return err
					}
					select {
					case <-ctx.Done(): // interrupted, as asked
						return nil
					case <-time.After(time.Second):
					}
				}
			})
		},
	}
	r.flags(c)
	return c
}

// follow reads one stream to its end.
func (r *reader) follow(ctx context.Context, conn *client.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	s, err := conn.Audit.FollowEntries(ctx, &pb.FollowEntriesRequest{StartIndex: r.start, Filter: &r.filter, WithProofs: r.vkey != ""})
	if err != nil {
		return err
	}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return status.Error(codes.Unavailable, "the stream ended")
		}
		if err != nil {
			return err
		}
		if err := r.take(ctx, conn, m.GetEntries(), m.GetCheckpoint()); err != nil {
			return err
		}
		r.start = m.GetNextIndex()
	}
}
