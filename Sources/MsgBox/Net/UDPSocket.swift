import CMsgBox

/// Opening of UDP sockets.
package enum UDPSocket {
  /// A socket that serves whoever sends to `host` and `port` (0: the system chooses); `scope` is
  /// the interface of a link-local address. `bufferBytes` is asked of the kernel, each way; it may
  /// give less.
  package static func bind(
    host: Locator.Host, port: UInt16, scope: UInt32 = 0, bufferBytes: UInt32
  ) throws(Errno) -> OpenSocket {
    try openForHost(host, port: port, scope: scope) { address, isDualStack, isWildcard in
      unsafe withUnsafePointer(to: address) {
        unsafe cmsgbox_udp_bind($0, isDualStack ? 1 : 0, bufferBytes, isWildcard ? 1 : 0)
      }
    }
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
