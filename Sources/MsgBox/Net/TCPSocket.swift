import CMsgBox

/// Calls on TCP sockets.
package enum TCPSocket {
  /// A socket that listens on `host` and `port` (0: the system chooses); `scope` is the interface
  /// of a link-local address. With `sharesPort` others may listen there too.
  package static func listen(
    host: Locator.Host, port: UInt16, scope: UInt32 = 0, sharesPort: Bool = false
  ) throws(Errno) -> OpenSocket {
    try openForHost(host, port: port, scope: scope) { address, isDualStack, _ in
      unsafe withUnsafePointer(to: address) {
        unsafe cmsgbox_tcp_listen($0, isDualStack ? 1 : 0, sharesPort ? 1 : 0)
      }
    }
  }

  /// A socket that is connecting to `remote`: writable when that has ended, one way or the other.
  package static func connect(to remote: Address) throws(Errno) -> FileDescriptor {
    let result = unsafe withUnsafePointer(to: cmsgbox_address(remote)) {
      unsafe cmsgbox_tcp_connect($0)
    }
    return try FileDescriptor(result: result)
  }

  /// Accepts one connection of a listener; `.wouldBlock` if there is none.
  package static func accept(
    _ listener: Int32, remote: inout Address
  ) throws(Errno) -> FileDescriptor {
    var address = cmsgbox_address()
    let descriptor = try FileDescriptor(result: unsafe cmsgbox_tcp_accept(listener, &address))
    remote = Address(address)
    return descriptor
  }

  /// Takes the error that waits at a socket, if one does.
  package static func takeError(of descriptor: Int32) -> Errno? {
    let error = cmsgbox_socket_error(descriptor)
    return error == 0 ? nil : Errno(rawValue: Int32(truncatingIfNeeded: error.magnitude))
  }

  /// What the system has measured on a connection; nil if it does not tell.
  package static func measures(of descriptor: Int32) -> TCPMeasures? {
    var measures = cmsgbox_tcp_measures()
    guard unsafe cmsgbox_tcp_measure(descriptor, &measures) == 0 else { return nil }
    return TCPMeasures(
      roundTrip: .microseconds(measures.round_trip),
      variation: .microseconds(measures.variation),
      leastRoundTrip: .microseconds(measures.least_round_trip),
      resent: UInt64(measures.resent))
  }

  /// Sends from the front of `bytes`; returns how many the system took.
  package static func send(_ bytes: Span<UInt8>, on descriptor: Int32) throws(Errno) -> Int {
    let result = unsafe bytes.withUnsafeBufferPointer {
      unsafe cmsgbox_send(descriptor, $0.baseAddress, $0.count)
    }
    return try checked(result)
  }

  /// Sends FIN after what was sent.
  package static func shutdownWrite(_ descriptor: Int32) throws(Errno) {
    _ = try checked(cmsgbox_shutdown_write(descriptor))
  }

  /// Makes the close of the socket a reset.
  package static func resetOnClose(_ descriptor: Int32) throws(Errno) {
    _ = try checked(cmsgbox_linger_reset(descriptor))
  }
}

/// What the system has measured on a TCP connection; zero where it has not.
package struct TCPMeasures: Equatable, Sendable {
  package var roundTrip: Interval
  package var variation: Interval
  package var leastRoundTrip: Interval
  /// Segments that were sent again.
  package var resent: UInt64
}

extension Interval {
  fileprivate static func microseconds(_ count: UInt32) -> Interval {
    Interval(nanoseconds: UInt64(count) * 1000)
  }
}
