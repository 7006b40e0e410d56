package system_test

import (
	"fmt"
	"image"
	"image/color"
	_ "image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
)

// TestSignLooks signs with an appearance of which everything was chosen: the place in points, the colours, a typeface that the
// configuration names, the time zone. It is what poppler then shows.
func TestSignLooks(t *testing.T) {
	s := newSignings(t)
	s.i.Documents()
	write(t, s.i.Path("mono.ttf"), string(gomono.TTF), 0o600)
	write(t, s.i.Path("bold.ttf"), "no font", 0o600)
	configure(t, s.i, "typefaces: {}", "typefaces: {house: {file: mono.ttf, bold_file: bold.ttf}}")
	if line := s.i.TryStart(); line != "" || !strings.Contains(s.i.Stderr.String(), "appearance.typefaces.house: unusable font") {
		t.Fatalf("with a font that is none: %s", s.i.Stderr)
	}
	write(t, s.i.Path("bold.ttf"), string(gomonobold.TTF), 0o600)
	s.i.Start()
	dir, profile := t.TempDir(), s.i.Path("clients", "documents")
	file, look := filepath.Join(dir, "contract.pdf"), filepath.Join(dir, "look.json")
	write(t, file, string(s.contract), 0o600)
	write(t, look, `{"language": "pl", "typeface": "house", "timeZone": "Asia/Tokyo", "hidden": ["SIGNATURE_TEXT_TITLE"],
		"colours": {"background": "#FFEE00", "border": "#FF0000", "ink": "#0000FF"}, "borderWidth": 6}`, 0o600)
	args := []string{
		"sign", file, "--credential", s.credential, "--title", "Looks", "--language", "en", "--reason", "zgoda", "--visible", "1:300,60,540,160",
		"--appearance", look, "--state", filepath.Join(dir, "state"), "--client", profile,
	}
	run := begin(t, s.i, args...)
	run.until("code from the phone")
	if _, err := fmt.Fprintln(run.in, s.i.Code("sign", "“Looks”")); err != nil {
		t.Fatal(err)
	}
	run.end(true)
	signed := filepath.Join(dir, "contract.signed.pdf")
	if fonts := tool(t, "pdffonts", signed); !strings.Contains(fonts, "GoMono") || !strings.Contains(fonts, "GoMono-Bold") {
		t.Errorf("fonts: %s", fonts)
	}
	if text := tool(t, "pdftotext", "-layout", signed, "-"); !strings.Contains(text, "+09:00") || !strings.Contains(text, "zgoda") ||
		strings.Contains(text, "Podpisano elektronicznie") {
		t.Errorf("it shows: %s", text)
	}
	tool(t, "pdftoppm", "-r", "72", "-f", "1", "-l", "1", "-singlefile", "-png", signed, filepath.Join(dir, "page"))
	f, err := os.Open(filepath.Join(dir, "page.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	page, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	height := page.Bounds().Dy()
	for at, want := range map[image.Point]color.RGBA{
		{530, height - 148}: {0xFF, 0xEE, 0, 0xFF}, {538, height - 100}: {0xFF, 0, 0, 0xFF}, {548, height - 100}: {0xFF, 0xFF, 0xFF, 0xFF},
	} {
		if got := color.RGBAModel.Convert(page.At(at.X, at.Y)); got != want {
			t.Errorf("at %v: %v, not %v", at, got, want)
		}
	}
	for what, said := range map[string]string{
		`{"typeface": "other"}`:                      `typeface "other" is unknown; there are ["house"]`,
		`{"timeZone": "Mars"}`:                       `time zone "Mars" is unknown`,
		`{"margin": 5}`:                              "both a rectangle and a corner",
		`{"colours": {"ink": "red"}}`:                "ink",
		`{"nothing": 1}`:                             `unknown field "nothing"`,
		`{"hidden": ["SIGNATURE_TEXT_UNSPECIFIED"]}`: "hidden",
	} {
		write(t, look, what, 0o600)
		again := slices.Concat(args[1:], []string{"--state", filepath.Join(t.TempDir(), "state"), "--out", filepath.Join(t.TempDir(), "out.pdf")})
		if out, err := s.i.Try(args[0], again...); err == nil || !strings.Contains(out, said) {
			t.Errorf("%s: %s", what, out)
		}
	}
	endRun(t, s.i)
}

// tool runs a program and returns what it said.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}
