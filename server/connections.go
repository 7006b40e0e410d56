package server

import (
	"net"
	"sync"
)

// limitedListener accepts only so many connections at the same time, in all and from one address. One above that is
// closed at once, before any cryptography: a flood costs next to nothing and does not keep others out for longer.
type limitedListener struct {
	net.Listener
	all, each int

	mu   sync.Mutex
	open int
	from map[string]int
}

func limitConnections(l net.Listener, all, each int) net.Listener {
	return &limitedListener{Listener: l, all: all, each: each, from: map[string]int{}}
}

// Accept waits for a connection that may stay.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address, _, err := net.SplitHostPort(c.RemoteAddr().String())
		if err != nil {
			address = c.RemoteAddr().String()
		}
		if l.enter(address) {
			return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(address) })}, nil
		}
		_ = c.Close()
	}
}

func (l *limitedListener) enter(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.all || l.from[address] >= l.each {
		return false
	}
	l.open++
	l.from[address]++
	return true
}

func (l *limitedListener) leave(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.from[address]--; l.from[address] == 0 {
		delete(l.from, address)
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

// Close gives the place back, once.
func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
