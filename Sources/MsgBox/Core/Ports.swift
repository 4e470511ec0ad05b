/// Names a socket of the loop; the loop chooses it, small and dense, and may give it again after
/// `Action.close`.
package struct SocketID: Hashable, Sendable {
  package var rawValue: UInt32

  package init(rawValue: UInt32) {
    self.rawValue = rawValue
  }
}

/// Something that only the loop can do for the core. `handle` is what the answer must name.
package enum Action: Equatable, Sendable {
  /// Resolve a host name; answer with `resolved` or `resolveFailed`.
  case resolve(Handle, name: [UInt8], port: UInt16)
  /// Nobody waits for the answer to `resolve` any more; one that comes all the same is ignored.
  case forgetName(Handle)
  /// Bind a listening socket; answer with `bound` or `bindFailed`. The host is never a name.
  /// `sharesPort` allows others of the process to have the same port.
  case bind(Handle, Locator, bufferBytes: UInt32, sharesPort: Bool)
  /// Open a UDP socket connected to the address; answer with `datagramOpened` or `openFailed`.
  case openDatagram(Handle, Address, bufferBytes: UInt32)
  /// Begin a TCP connection; answer with `streamOpened` as soon as there is a socket, then
  /// `streamConnected`, or with `openFailed` at any point before that.
  case openStream(Handle, Address)
  /// Close the socket; nothing more is said about it, in either direction.
  case close(SocketID)
  /// Read no more from a TCP socket until `resume`.
  case pause(SocketID)
  case resume(SocketID)
  /// Send FIN after what was written.
  case shutdownWrite(SocketID)
  /// Close a TCP socket with RST.
  case reset(SocketID)
}

/// A datagram to be sent: its bytes were written to the buffer that `pollTransmit` was given.
package struct Transmit: Equatable, Sendable {
  package var socket: SocketID
  /// Where it goes; of no meaning on a connected socket.
  package var remote: Address
  /// The local address it must come from, unspecified if the system may choose.
  package var local: Address
  package var count: Int
}

/// How a TCP stream ended.
package enum StreamEnd: Equatable, Sendable {
  case finished
  case reset(systemError: Int32)
}
