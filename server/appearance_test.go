package server

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer/appearance"
)

// Every field of the message reaches the field that it names, and no two values of a word are one.
func TestAppearance(t *testing.T) {
	got := appearanceOf(&pb.SignatureAppearance{
		Page: 2, Corner: pb.PageCorner_PAGE_CORNER_TOP_RIGHT, Width: 3, Height: 4, Margin: 5, Language: "pl", Lines: []string{"line"},
		Picture: []byte("p"), PicturePlace: pb.PicturePlace_PICTURE_PLACE_TOP, Rectangle: &pb.PageRectangle{Left: 6, Bottom: 7, Right: 8, Top: 9},
		RotationDegrees: 90, Hidden: []pb.SignatureText{pb.SignatureText_SIGNATURE_TEXT_REASON, pb.SignatureText_SIGNATURE_TEXT_TIME},
		TimeZone: "Europe/Warsaw", Typeface: "face", FontSize: 10, BorderWidth: 11,
		Colours: &pb.SignatureColours{Background: "#000001", Border: "#000002", Accent: "#000003", Ink: "#000004", Muted: "#000005"},
	})
	want := &appearance.Appearance{
		Page: 2, Corner: appearance.TopRight, Width: 3, Height: 4, Margin: 5, Language: "pl", Lines: []string{"line"},
		Picture: []byte("p"), PicturePlace: appearance.PictureTop, Rect: [4]float64{6, 7, 8, 9}, Rotate: 90,
		Hide: appearance.Reason | appearance.Time, Zone: "Europe/Warsaw", FontSize: 10, BorderWidth: 11,
		Background: "#000001", Border: "#000002", Accent: "#000003", Ink: "#000004", Muted: "#000005",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	v := reflect.ValueOf(*got)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Font" && name != "BoldFont" { // which the use case knows by the typeface's name
			t.Errorf("%s cannot be asked for", name)
		}
	}
	if appearanceOf(nil) != nil || !reflect.DeepEqual(appearanceOf(&pb.SignatureAppearance{}), &appearance.Appearance{}) {
		t.Error("nothing said is not the default")
	}
	distinct(t, pb.PageCorner(0).Descriptor(), func(n int32) any { return corner(pb.PageCorner(n)) })
	distinct(t, pb.PicturePlace(0).Descriptor(), func(n int32) any { return picturePlace(pb.PicturePlace(n)) })
	distinct(t, pb.SignatureText(0).Descriptor(), func(n int32) any { return text(pb.SignatureText(n)) })
}

func distinct(t *testing.T, e protoreflect.EnumDescriptor, ours func(int32) any) {
	t.Helper()
	seen := map[any]bool{}
	for i := range e.Values().Len() {
		v := ours(int32(e.Values().Get(i).Number()))
		if seen[v] {
			t.Errorf("%s means the same as another value", e.Values().Get(i).Name())
		}
		seen[v] = true
	}
}
