package engine

import (
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/server"
	"golang.org/x/time/rate"
)

// bytesPerClient is the default of limits.bytes_per_client.
const bytesPerClient = 4 << 30

// edgeLimits are the defaults of the edge where the configuration says nothing else.
func edgeLimits(c config.Limits) server.Limits {
	l := server.DefaultLimits()
	l.Rate, l.Burst = rate.Limit(c.RatePerClient), max(1, int(c.RatePerClient))
	choose(&l.Calls, c.CallsPerClient)
	choose(&l.Streams, c.StreamsPerClient)
	choose(&l.Uploads, c.UploadsPerClient)
	choose(&l.Unary, c.CallTime)
	choose(&l.Stream, c.StreamTime)
	choose(&l.Message, c.MessageBytes)
	choose(&l.UploadRate, c.UploadRate)
	choose(&l.Idle, c.IdleTime)
	choose(&l.KeepAlive, c.KeepAliveTime)
	choose(&l.Connections, c.Connections)
	choose(&l.ConnectionsPerHost, c.ConnectionsPerHost)
	return l
}

// choose puts value into field unless it is left out.
func choose[T comparable](field *T, value T) {
	var none T
	if value != none {
		*field = value
	}
}
