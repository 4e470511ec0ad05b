/// An IP address of either family in 16 bytes; IPv4 is held in its mapped form `::ffff:a.b.c.d`
/// (RFC 4291 2.5.5.2).
package struct IPAddress: Hashable, Sendable {
  package var high: UInt64
  package var low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  package init(v4 bits: UInt32) {
    self.init(high: 0, low: 0xffff_0000_0000 | UInt64(bits))
  }

  /// `::`, which stands for "every address" or "not known".
  package static var unspecified: IPAddress { IPAddress(high: 0, low: 0) }

  package var isIPv4: Bool { high == 0 && low >> 32 == 0xffff }

  /// The 32 bits of an IPv4 address, in host order; meaningless for IPv6.
  package var v4Bits: UInt32 { UInt32(truncatingIfNeeded: low) }

  /// Whether it is of this machine alone: 127.0.0.0/8, ::1.
  package var isLoopback: Bool { isIPv4 ? v4Bits >> 24 == 127 : high == 0 && low == 1 }

  /// What a source can have many of: /24 of IPv4, /56 of IPv6. Budgets are kept per prefix.
  package var sourcePrefix: UInt64 { isIPv4 ? low >> 8 : high >> 8 | 1 << 63 }
}

/// An IP address and a port: one end of a path.
package struct Address: Hashable, Sendable {
  package var ip: IPAddress
  /// Interface index of a link-local IPv6 address; 0 otherwise.
  package var scope: UInt32
  package var port: UInt16

  package init(ip: IPAddress, port: UInt16, scope: UInt32 = 0) {
    self.ip = ip
    self.scope = scope
    self.port = port
  }

  package static var unspecified: Address { Address(ip: .unspecified, port: 0) }
}

package enum Transport: UInt8, Sendable {
  case tcp
  case udp
}

/// A parsed `(tcp|udp)://(ip|*|[ipv6]|name):port`.
package struct Locator: Equatable, Sendable {
  package enum Host: Equatable, Sendable {
    /// `*`: every address of both families.
    case any
    case ip(IPAddress)
    /// A host name to be resolved, 1...253 bytes of ASCII letters, digits, `-`, `_` and `.`.
    case name([UInt8])
  }

  package var transport: Transport
  package var host: Host
  package var port: UInt16
  /// The interface that a link-local IPv6 address names after `%`; 0 otherwise.
  package var scope: UInt32

  package init(transport: Transport, host: Host, port: UInt16, scope: UInt32 = 0) {
    self.transport = transport
    self.host = host
    self.port = port
    self.scope = scope
  }
}
