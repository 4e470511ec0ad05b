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
  /// Body of hello: the same, then a cookie.
  package static let helloSize = acceptSize + Cookie.size

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

/// What a server gives to a stranger who says hello, and the stranger's next hello brings back: so it
/// is seen that answers reach him. To him it means nothing.
package struct Cookie: Equatable, Sendable {
  package static let size = 16
  /// What a hello has that was given none.
  package static let none = Cookie(high: 0, low: 0)

  /// Its first 8 bytes. Where several sockets share a port, the uppermost byte steers the hello to
  /// the one that gave the cookie.
  package var high: UInt64
  package var low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// The 16 bytes at `offset`; nil if they do not lie within the bytes.
  package init?(_ bytes: Span<UInt8>, at offset: Int) {
    guard let high = bytes.bigEndian(UInt64.self, at: offset),
      let low = bytes.bigEndian(UInt64.self, at: offset + 8)
    else { return nil }
    self.init(high: high, low: low)
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.append(atMost: Self.size) { write(to: &$0, at: &$1) }
  }

  func write(to bytes: inout MutableRawSpan, at offset: inout Int) {
    bytes.put(high, at: &offset)
    bytes.put(low, at: &offset)
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
