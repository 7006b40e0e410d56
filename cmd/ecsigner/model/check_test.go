package model_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"slices"
	"strings"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/signer"
)

func readCode(p *process, challenge string) (string, error) {
	ctx := context.Background()
	var ch otp.Challenge
	err := p.db.Signer().View(ctx, func(tx signer.Tx) (err error) {
		ch, err = tx.Challenge(otp.ID(challenge))
		return err
	})
	if err != nil {
		return "", err
	}
	return p.trust.Code(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal})
}

// settle ends a history: whoever is on the way arrives, device and clock are well again, the process is started anew.
func (w *world) settle() {
	if w.process != nil {
		for _, t := range w.tasks {
			w.finish(t)
		}
		w.crash()
	}
	w.device.back()
	if back := w.highest.Sub(w.now()); back > 0 { // nothing is decided before the clock is right again
		w.pass(back)
	}
	w.boot()
}

// hold is what must be true after each history, whatever happened.
func (w *world) hold() {
	ctx := context.Background()
	if err := w.process.db.Cover(ctx); err != nil {
		w.fail("the log cannot be covered: %v", err)
		w.check()
	}
	w.same()
	events := w.log(ctx)
	w.uses()
	w.releases(events)
	w.codes(events)
	w.issuances(events)
	w.check()
}

// same holds the database against the model.
func (w *world) same() {
	stored, err := observe(context.Background(), w.process.db, w.model)
	if err != nil {
		w.fail("the database cannot be read: %v", err)
		w.check()
	}
	if all := differences(w.model, stored); len(all) > 0 {
		w.fail("the database is not as foreseen:\n%s", strings.Join(all, "\n"))
	}
	w.check()
}

// log verifies the whole operation log: the story that it tells, its tree, and that it only grew.
func (w *world) log(ctx context.Context) []audit.Event {
	db := w.process.db
	size := must(db.Size(ctx))
	story, tree := tiles.NewStory(), audit.CompactRange{}
	var events []audit.Event
	for index := int64(0); index < size; {
		page := must(db.Entries(ctx, index, 1000))
		for _, entry := range page {
			for _, problem := range story.Next(index, entry) {
				if w.setBack && strings.HasPrefix(problem, "its time lies") {
					continue // so it did, and the verifier is to say so
				}
				w.fail("entry %d of the log: %s", index, problem)
			}
			tree.Add(leaf(entry))
			_, e, err := audit.Decode(entry)
			if err != nil {
				w.fail("entry %d of the log: %v", index, err)
			}
			events = append(events, e)
			index++
		}
	}
	signed := must(db.LastHead(ctx))
	head, err := audit.OpenHead(w.house.vkey, signed)
	if err != nil || head.Size != size || head.Root != tree.Root() {
		w.fail("the newest head is %+v, %v; the log has %d entries", head, err, size)
		w.check()
	}
	proof, err := audit.ProveConsistency(db, w.house.size, size)
	if err == nil {
		err = audit.VerifyConsistency(w.house.vkey, w.house.first, signed, proof)
	}
	if err != nil {
		w.fail("the log did not only grow: %v", err)
	}
	w.check()
	return events
}

// uses counts what the device did.
func (w *world) uses() {
	allowed, least := map[[2]string]int{}, map[[2]string]int{}
	for id, o := range w.model.operations {
		for _, digest := range o.digests {
			key := [2]string{w.model.credentials[o.credential].wrapped, string(digest)}
			allowed[key] += o.runs
			if o.state == signer.StateSigned {
				least[key]++
			}
		}
		if o.uses > o.runs || o.state == signer.StateSigned && o.uses == 0 {
			w.fail("operation %s: the key was used %d times in %d runs", id, o.uses, o.runs)
		}
	}
	for key, n := range w.device.signed {
		if n > allowed[key] {
			w.fail("a digest was signed %d times, allowed were %d", n, allowed[key])
		}
	}
	for key, n := range least {
		if w.device.signed[key] < n {
			w.fail("a digest was signed %d times for %d operations", w.device.signed[key], n)
		}
	}
}

// releases holds everything that anybody outside has got against the log.
func (w *world) releases(events []audit.Event) {
	first := map[string]release{}
	for _, r := range w.released {
		former, known := first[r.operation]
		if known {
			if !slices.EqualFunc(r.signatures, former.signatures, bytes.Equal) || !bytes.Equal(r.receipt, former.receipt) {
				w.fail("operation %s was released with different bytes", r.operation)
			}
			continue
		}
		first[r.operation] = r
		o := w.model.operations[r.operation]
		receipt, err := audit.ParseReceipt(r.receipt)
		if err == nil {
			err = receipt.Verify(w.house.vkey)
		}
		if err != nil || receipt.Index != o.entry || receipt.Index >= int64(len(events)) {
			w.fail("the receipt of operation %s does not prove it: %v", r.operation, err)
			continue
		}
		e, is := events[receipt.Index].(audit.SigningSigned)
		if !is || e.Operation != r.operation || len(e.Signatures) != len(r.signatures) || len(o.digests) != len(r.signatures) {
			w.fail("the receipt of operation %s proves %+v", r.operation, events[receipt.Index])
			continue
		}
		for n, signature := range r.signatures {
			if sum(signature) != string(e.Signatures[n]) || !ecdsa.VerifyASN1(w.publicKey(o.credential), o.digests[n], signature) {
				w.fail("signature %d of operation %s is not what was recorded, or does not verify", n, r.operation)
			}
		}
	}
}

// codes holds the tries that the log tells of against the limits.
func (w *world) codes(events []audit.Event) {
	tries, accepted := map[string]int{}, map[string]int{}
	for _, event := range events {
		switch e := event.(type) {
		case audit.CodeRefused:
			if e.Attempt > 0 {
				tries[e.Challenge]++
			}
		case audit.CodeAccepted:
			tries[e.Challenge]++
			accepted[e.Challenge]++
		}
	}
	for id, n := range tries {
		if c, known := w.model.challenges[id]; known && c.attempts != n || n > limits().Tries || accepted[id] > 1 {
			w.fail("challenge %s was tried %d times and accepted %d times; the model knows of %d", id, n, accepted[id], c.attempts)
		}
	}
}
