package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// Raise asks for files to be raised to a level.
type Raise struct {
	Paths   []string
	Level   pb.SignatureLevel
	Content string        // what a detached signature signs; only with one file
	Stamp   bool          // a document time-stamp alone
	Out     string        // a file for one file, else a folder; empty: beside each file
	Wait    time.Duration // for each file
	Report  io.Writer
	Show    *Progress
}

// Augment raises files, one after another, and keeps the results. A file that fails does not stop the others.
func Augment(ctx context.Context, c *client.Conn, r Raise) error {
	if r.Content != "" && len(r.Paths) != 1 {
		return errors.New("--content belongs to one detached signature; name that one file")
	}
	if r.Out != "" && len(r.Paths) > 1 {
		if err := os.MkdirAll(r.Out, 0o755); err != nil { // as open as the folder above it
			return err
		}
	}
	var failed []error
	for _, path := range r.Paths {
		if err := r.one(ctx, c, path); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(failed...)
}

func (r Raise) one(ctx context.Context, c *client.Conn, path string) error {
	target := r.target(path)
	if _, err := os.Stat(target); err == nil {
		return fmt.Errorf("%s %w", target, ErrExists)
	}
	ctx, cancel := context.WithTimeout(ctx, max(r.Wait, time.Second))
	defer cancel()
	id, err := r.begin(ctx, c, path)
	if err != nil {
		return err
	}
	a, err := r.await(ctx, c, id)
	if err != nil {
		return err
	}
	p := a.GetProgress()
	if p.GetState() != pb.LevelState_LEVEL_STATE_READY {
		return fmt.Errorf("%w: %s", errNotRaised, p.GetReason())
	}
	if err := write(target, func(w io.Writer) error {
		_, err := c.DownloadAugmentation(ctx, id, pb.ArtifactContent_ARTIFACT_CONTENT_FULL, w)
		return err
	}); err != nil {
		return err
	}
	fmt.Fprintf(r.Report, "augmented %s\n", target)
	_, err = c.Augmentation.CompleteAugmentation(ctx, &pb.CompleteAugmentationRequest{RequestId: client.RequestID(), AugmentationId: id})
	return err
}

var errNotRaised = errors.New("it could not be raised")

// begin uploads what is needed and queues the work.
func (r Raise) begin(ctx context.Context, c *client.Conn, path string) (id string, err error) {
	document, err := r.upload(ctx, c, path)
	if err != nil {
		return "", err
	}
	if r.Stamp {
		a, err := c.Augmentation.TimeStampDocument(ctx, &pb.TimeStampDocumentRequest{RequestId: client.RequestID(), DocumentId: document})
		return a.GetAugmentation().GetId(), err
	}
	request := &pb.AugmentDocumentRequest{RequestId: client.RequestID(), DocumentId: document, Level: r.Level}
	if r.Content != "" {
		content, err := r.upload(ctx, c, r.Content)
		if err != nil {
			return "", err
		}
		request.Content = &pb.AugmentDocumentRequest_ContentDocumentId{ContentDocumentId: content}
	}
	a, err := c.Augmentation.AugmentDocument(ctx, request)
	return a.GetAugmentation().GetId(), err
}

func (r Raise) upload(ctx context.Context, c *client.Conn, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	d, err := c.Upload(ctx, filepath.Base(path), f, func(sent int64) {
		r.Show.step("uploading", filepath.Base(path), 0, 1, sent, info.Size())
	})
	r.Show.clear()
	if err == nil {
		r.Show.done("uploaded", path)
	}
	return d.GetId(), err
}

// await watches until it is ready or given up.
func (r Raise) await(ctx context.Context, c *client.Conn, id string) (*pb.Augmentation, error) {
	var last *pb.Augmentation
	for {
		s, err := c.Augmentation.WatchAugmentation(ctx, &pb.WatchAugmentationRequest{AugmentationId: id, AfterRevision: last.GetRevision()})
		for err == nil {
			var m *pb.WatchAugmentationResponse
			if m, err = s.Recv(); err == nil {
				last = m.GetAugmentation()
			}
		}
		switch {
		case errors.Is(err, io.EOF) && last != nil:
			return last, nil
		case ctx.Err() != nil && last != nil:
			return last, nil
		case client.Reason(err) != "SHUTTING_DOWN" && client.Reason(err) != "DEADLINE_EXCEEDED":
			return nil, err
		}
	}
}

// target is the name of the result: contract.pdf becomes contract.augmented.pdf.
func (r Raise) target(path string) string {
	name := filepath.Base(path)
	end := filepath.Ext(name)
	name = strings.TrimSuffix(name, end) + ".augmented" + end
	if r.Out == "" {
		return filepath.Join(filepath.Dir(path), name)
	}
	if info, err := os.Stat(r.Out); len(r.Paths) > 1 || err == nil && info.IsDir() {
		return filepath.Join(r.Out, name)
	}
	return r.Out
}
