package server

import (
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer/appearance"
)

// appearanceOf an absent message is none.
func appearanceOf(a *pb.SignatureAppearance) *appearance.Appearance {
	if a == nil {
		return nil
	}
	c := a.GetColours()
	out := &appearance.Appearance{
		Page: int(a.GetPage()), Corner: corner(a.GetCorner()), Rotate: int(a.GetRotationDegrees()),
		Width: float64(a.GetWidth()), Height: float64(a.GetHeight()), Margin: float64(a.GetMargin()),
		Language: a.GetLanguage(), Zone: a.GetTimeZone(), Lines: a.GetLines(), FontSize: a.GetFontSize(),
		Picture: a.GetPicture(), PicturePlace: picturePlace(a.GetPicturePlace()),
		Background: appearance.Colour(c.GetBackground()), Border: appearance.Colour(c.GetBorder()),
		Accent: appearance.Colour(c.GetAccent()), Ink: appearance.Colour(c.GetInk()),
		Muted: appearance.Colour(c.GetMuted()), BorderWidth: a.GetBorderWidth(),
	}
	if r := a.GetRectangle(); r != nil {
		out.Rect = [4]float64{r.GetLeft(), r.GetBottom(), r.GetRight(), r.GetTop()}
	}
	for _, t := range a.GetHidden() {
		out.Hide |= text(t)
	}
	return out
}

func corner(c pb.PageCorner) appearance.Corner {
	switch c {
	case pb.PageCorner_PAGE_CORNER_BOTTOM_LEFT:
		return appearance.BottomLeft
	case pb.PageCorner_PAGE_CORNER_TOP_RIGHT:
		return appearance.TopRight
	case pb.PageCorner_PAGE_CORNER_TOP_LEFT:
		return appearance.TopLeft
	}
	return appearance.BottomRight
}

func picturePlace(p pb.PicturePlace) appearance.PicturePlace {
	switch p {
	case pb.PicturePlace_PICTURE_PLACE_RIGHT:
		return appearance.PictureRight
	case pb.PicturePlace_PICTURE_PLACE_TOP:
		return appearance.PictureTop
	case pb.PicturePlace_PICTURE_PLACE_BEHIND:
		return appearance.PictureBehind
	case pb.PicturePlace_PICTURE_PLACE_ALONE:
		return appearance.PictureOnly
	}
	return appearance.PictureLeft
}

func text(t pb.SignatureText) appearance.Item {
	switch t {
	case pb.SignatureText_SIGNATURE_TEXT_TITLE:
		return appearance.Title
	case pb.SignatureText_SIGNATURE_TEXT_NAME:
		return appearance.Name
	case pb.SignatureText_SIGNATURE_TEXT_REASON:
		return appearance.Reason
	case pb.SignatureText_SIGNATURE_TEXT_LOCATION:
		return appearance.Location
	case pb.SignatureText_SIGNATURE_TEXT_TIME:
		return appearance.Time
	}
	return 0
}
