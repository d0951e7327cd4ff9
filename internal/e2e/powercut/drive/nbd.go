package drive

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// The numbers of the NBD protocol, from its description in the NBD project's
// doc/proto.md.
const (
	magicServer  = 0x4e42444d41474943 // NBDMAGIC
	magicOption  = 0x49484156454f5054 // IHAVEOPT
	magicAnswer  = 0x0003e889045565a9
	magicRequest = 0x25609513
	magicReply   = 0x67446698

	fixedNewstyle, noZeroes = 1 << 0, 1 << 1

	optAbort, optGo             = 2, 7
	repAck, repInfo, repUnknown = 1, 3, 1<<31 | 1
	infoExport                  = 0

	flagHas, flagFlush, flagFUA = 1 << 0, 1 << 2, 1 << 3

	cmdRead, cmdWrite, cmdDisconnect, cmdFlush = 0, 1, 2, 3
	cmdFlagFUA                                 = 1 << 0

	errIO, errInvalid = 5, 22
)

// maxRequest bounds what one request may read or write, in bytes.
const maxRequest = 32 << 20

// errEnd says that the client has ended the connection in order.
var errEnd = errors.New("end")

// Serve serves the drive to one client until the connection ends, also by the
// client's death, which is no error.
func (d *Drive) Serve(conn net.Conn) error {
	defer conn.Close()
	s := &session{d: d, in: bufio.NewReaderSize(conn, 64<<10), out: bufio.NewWriterSize(conn, 64<<10)}
	err := s.negotiate()
	for err == nil {
		err = s.request()
	}
	var broken net.Error
	if errors.Is(err, errEnd) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &broken) {
		return nil
	}
	return err
}

// session is one connection.
type session struct {
	d   *Drive
	in  *bufio.Reader
	out *bufio.Writer
}

// send writes values in network order and flushes them.
func (s *session) send(values ...any) error {
	for _, v := range values {
		if err := binary.Write(s.out, binary.BigEndian, v); err != nil {
			return err
		}
	}
	return s.out.Flush()
}

func (s *session) receive(v any) error { return binary.Read(s.in, binary.BigEndian, v) }

// negotiate agrees on the one export there is, whatever the client calls it.
func (s *session) negotiate() error {
	if err := s.send(uint64(magicServer), uint64(magicOption), uint16(fixedNewstyle|noZeroes)); err != nil {
		return err
	}
	var flags uint32
	if err := s.receive(&flags); err != nil {
		return err
	}
	for {
		var o struct {
			Magic       uint64
			Option, Len uint32
		}
		if err := s.receive(&o); err != nil {
			return err
		}
		if o.Magic != magicOption {
			return fmt.Errorf("the client does not speak NBD: %x", o.Magic)
		}
		if _, err := io.CopyN(io.Discard, s.in, int64(o.Len)); err != nil {
			return err
		}
		switch o.Option {
		case optGo:
			return s.export()
		case optAbort:
			return errors.Join(s.answer(o.Option, repAck), errEnd)
		}
		if err := s.answer(o.Option, repUnknown); err != nil {
			return err
		}
	}
}

func (s *session) answer(option, reply uint32) error {
	return s.send(uint64(magicAnswer), option, reply, uint32(0))
}

func (s *session) export() error {
	err := s.send(uint64(magicAnswer), uint32(optGo), uint32(repInfo), uint32(12),
		uint16(infoExport), uint64(s.d.Size()), uint16(flagHas|flagFlush|flagFUA))
	if err != nil {
		return err
	}
	return s.answer(optGo, repAck)
}

// request carries one request out.
func (s *session) request() error {
	var r struct {
		Magic       uint32
		Flags, Type uint16
		Handle      uint64
		Offset      uint64
		Len         uint32
	}
	if err := s.receive(&r); err != nil {
		return err
	}
	if r.Magic != magicRequest {
		return fmt.Errorf("a request begins with %x", r.Magic)
	}
	if r.Len > maxRequest {
		return fmt.Errorf("a request of %d bytes", r.Len)
	}
	switch r.Type {
	case cmdRead:
		buf := make([]byte, r.Len)
		if err := s.d.ReadAt(buf, int64(r.Offset)); err != nil {
			return s.send(uint32(magicReply), uint32(errInvalid), r.Handle)
		}
		return s.send(uint32(magicReply), uint32(0), r.Handle, buf)
	case cmdWrite:
		buf := make([]byte, r.Len)
		if _, err := io.ReadFull(s.in, buf); err != nil {
			return err
		}
		return s.done(r.Handle, s.d.WriteAt(buf, int64(r.Offset), r.Flags&cmdFlagFUA != 0))
	case cmdFlush:
		return s.done(r.Handle, s.d.Flush())
	case cmdDisconnect:
		return errEnd
	}
	return s.send(uint32(magicReply), uint32(errInvalid), r.Handle)
}

func (s *session) done(handle uint64, err error) error {
	if err != nil {
		return s.send(uint32(magicReply), uint32(errIO), handle)
	}
	return s.send(uint32(magicReply), uint32(0), handle)
}
