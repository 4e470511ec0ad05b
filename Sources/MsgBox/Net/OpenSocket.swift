import CMsgBox

/// A socket that was opened, and what is known of it.
package struct OpenSocket: ~Copyable {
  package let descriptor: FileDescriptor
  /// Its own address; the IP is unspecified if it serves more than one.
  package let local: Address
  /// Whether its family is IPv6, so that IPv4 addresses are given to the system in their mapped
  /// form.
  package let isIPv6: Bool
  /// The first byte of the session ids whose datagrams come to it, 1...255, if it shares its port;
  /// else 0.
  package var steering: UInt8 = 0

  package init(descriptor: consuming FileDescriptor, isIPv6: Bool) throws(Errno) {
    local = try localAddress(of: descriptor.rawValue)
    self.descriptor = descriptor
    self.isIPv6 = isIPv6
  }

  /// One whose own address is known.
  package init(descriptor: consuming FileDescriptor, isIPv6: Bool, local: Address) {
    self.local = local
    self.descriptor = descriptor
    self.isIPv6 = isIPv6
  }

  /// Gives its descriptor away.
  package consuming func takeDescriptor() -> FileDescriptor { descriptor }

  /// Whether it is bound to every address of its machine.
  package var isWildcard: Bool {
    local.ip == .unspecified || local.ip == IPAddress(v4: 0)
  }
}

/// The local address of a socket.
package func localAddress(of descriptor: Int32) throws(Errno) -> Address {
  var local = cmsgbox_address()
  _ = try checked(unsafe cmsgbox_local_address(descriptor, &local))
  return Address(local)
}

/// Opens a socket for `host`; `*` is dual-stack, or IPv4 alone on a machine without IPv6. A name is
/// an invalid argument.
func openForHost(
  _ host: Locator.Host, port: UInt16, scope: UInt32,
  open: (cmsgbox_address, _ isDualStack: Bool, _ isWildcard: Bool) -> Int32
) throws(Errno) -> OpenSocket {
  switch host {
  case .name:
    throw .invalidArgument
  case .ip(let ip):
    let isWildcard = ip == .unspecified || ip == IPAddress(v4: 0)
    let result = open(cmsgbox_address(Address(ip: ip, port: port, scope: scope)), false, isWildcard)
    return try OpenSocket(descriptor: FileDescriptor(result: result), isIPv6: !ip.isIPv4)
  case .any:
    let every = cmsgbox_address(Address(ip: .unspecified, port: port))
    let result = open(every, true, true)
    let error = Errno(rawValue: 0 &- min(result, 0))
    if error != .familyNotSupported && error != .addressNotAvailable {
      return try OpenSocket(descriptor: FileDescriptor(result: result), isIPv6: true)
    }
    let everyIPv4 = cmsgbox_address(Address(ip: IPAddress(v4: 0), port: port))
    let second = open(everyIPv4, false, true)
    return try OpenSocket(descriptor: FileDescriptor(result: second), isIPv6: false)
  }
}
