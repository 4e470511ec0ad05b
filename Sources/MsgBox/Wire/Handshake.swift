/// What each side tells the other when a session begins.
package struct Introduction: Equatable, Sendable {
  /// The sender's own id: the one that packets to it carry.
  package var session: UInt64
  /// The silence, in milliseconds, after which the sender gives the other up.
  package var lostAfter: UInt32
  /// The largest message that the sender accepts, in bytes.
  package var largest: UInt32

  package init(session: UInt64, lostAfter: UInt32, largest: UInt32) {
    self.session = session
    self.lostAfter = lostAfter
    self.largest = largest
  }

  /// Body of accept: session 8, lost_after 4, largest 4.
  package static let acceptSize = 16
  /// Body of hello: the same, then a cookie of 16 bytes, zeros here.
  package static let helloSize = 32

  /// Reads the fields that hello and accept share; nil if the body is too short or names the
  /// session 0.
  package init?(_ bytes: Span<UInt8>, _ body: Range<Int>, atLeast size: Int) {
    guard body.count >= size,
      let session = bytes.bigEndian(UInt64.self, at: body.lowerBound), session != 0,
      let lostAfter = bytes.bigEndian(UInt32.self, at: body.lowerBound + 8),
      let largest = bytes.bigEndian(UInt32.self, at: body.lowerBound + 12)
    else { return nil }
    self.init(session: session, lostAfter: lostAfter, largest: largest)
  }
}

/// Why a session was closed: reply_id of a close.
package enum CloseReason: UInt16, CaseIterable, Sendable {
  case normal = 0
  /// The sender does not know the session; the session field echoes the id of the packet that it
  /// answers.
  case unknownSession = 1
  case idle = 2
  case denied = 3
  case overload = 4
  case protocolError = 5
  case replaced = 6
}
