/// How datagrams come to a UDP socket: one at a time or several.
///
/// To ask for one costs the system a quarter less than to get one of many that were asked for.
package struct Arrivals: Equatable, Sendable {
  /// After so many in a row the next is expected to be one too.
  package static let believed = 8
  /// After so many, 16 of which were expected, it is tried whether there is more.
  package static let trusted = 24

  /// Receptions in a row that brought one datagram, as far as the next try.
  private var ones = 0

  package init() {}

  /// Whether there is mostly one datagram when the socket is ready. To ask for more is tried again
  /// after some.
  @inline(__always)
  package var expectsOne: Bool { ones >= Self.believed }

  /// Notes what the socket had when it was ready.
  @inline(__always)
  package mutating func came(isOne: Bool) {
    ones = isOne ? ones &+ 1 : 0
    if ones > Self.trusted { ones = Self.believed - 1 }
  }
}
