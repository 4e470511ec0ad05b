/// How many bytes may be on their way: the congestion window of RFC 9002, section 7.
package struct NewReno: Equatable, Sendable {
  /// The largest datagram, in bytes.
  package static let datagram = 1200
  package static let initialWindow = 10 * datagram
  package static let leastWindow = 2 * datagram

  /// Bytes that may be on their way.
  package private(set) var window = NewReno.initialWindow
  /// The window at which slow start ends.
  package private(set) var threshold = Int.max
  /// Numbers below it were sent before the window was last reduced: their loss does not reduce it
  /// again, and their acknowledgement does not let it grow (RFC 9002, section 7.3.2).
  package private(set) var recoveryEnd: UInt64 = 0
  /// Bytes acknowledged since the last growth outside of slow start.
  private var acknowledged = 0

  package init() {}

  /// Of a new path. Numbers below `next` were sent on another one, and change nothing here.
  package init(next: UInt64) {
    recoveryEnd = next
  }

  package var isInSlowStart: Bool { window < threshold }

  /// Lets the window grow for `bytes` that were acknowledged: RFC 9002, sections 7.3.1 and 7.3.3.
  package mutating func acknowledge(_ bytes: Int) {
    guard !isInSlowStart else {
      window += bytes
      return
    }
    acknowledged += bytes
    guard acknowledged >= window else { return }
    acknowledged -= window
    window += Self.datagram
  }

  /// Halves the window because datagram `number` was lost, once in each round trip.
  /// - Parameter next: the number that the next datagram gets.
  /// - Returns: whether the window was reduced.
  package mutating func lose(_ number: UInt64, next: UInt64) -> Bool {
    guard number >= recoveryEnd else { return false }
    recoveryEnd = next
    threshold = max(window / 2, Self.leastWindow)
    window = threshold
    acknowledged = 0
    return true
  }

  /// Nothing came through for long: RFC 9002, section 7.6.2.
  package mutating func collapse() {
    window = Self.leastWindow
    acknowledged = 0
    recoveryEnd = 0
  }
}
