import CMsgBox

/// Opening of UDP sockets.
package enum UDPSocket {
  /// A socket that serves whoever sends to `host` and `port` (0: the system chooses); `scope` is
  /// the interface of a link-local address. `bufferBytes` is asked of the kernel, each way; it may
  /// give less. With `sharesPort` others of this process may have the same port, at most 255:
  /// `OpenSocket.steering` tells whose datagrams come here.
  package static func bind(
    host: Locator.Host, port: UInt16, scope: UInt32 = 0, bufferBytes: UInt32,
    sharesPort: Bool = false
  ) throws(Errno) -> OpenSocket {
    var steering: UInt8 = 0
    var socket = try openForHost(host, port: port, scope: scope) {
      address, isDualStack, isWildcard in
      unsafe withUnsafePointer(to: address) { address in
        unsafe withUnsafeMutablePointer(to: &steering) { steering in
          unsafe cmsgbox_udp_bind(
            address, isDualStack ? 1 : 0, bufferBytes, isWildcard ? 1 : 0,
            sharesPort ? steering : nil)
        }
      }
    }
    socket.steering = steering
    return socket
  }

  /// A socket of one peer, which gets nothing from anybody else and hears of datagrams that
  /// bounced.
  package static func connect(
    to remote: Address, bufferBytes: UInt32
  ) throws(Errno) -> OpenSocket {
    let result = unsafe withUnsafePointer(to: cmsgbox_address(remote)) {
      unsafe cmsgbox_udp_connect($0, bufferBytes)
    }
    return try OpenSocket(
      descriptor: FileDescriptor(result: result), isIPv6: !remote.ip.isIPv4)
  }
}
