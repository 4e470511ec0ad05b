/// The hellos that got no cookie because the server was behind with reading. Who says hello again a
/// while later is somebody who waits for an answer, and gets one: a flood from ever new sources is
/// read as fast as it comes, and not answered, while clients come in with their second hello.
///
/// A table of fixed size: each of its buckets has the newest eight hellos that fell to it. With half a
/// million new ones a second one in 25 is pushed out within half a second; that one, and those that
/// look like another, cost one answer less or more.
package struct FirstHellos {
  private static let buckets = 65_536
  private static let places = 8
  /// Copies of a hello within one of these spans, and some within two, are no second hello, so that who
  /// sends the same few hellos again and again gets a few answers a second. It is an eighth of a second
  /// and a bit.
  private static let spanBits: UInt64 = 27
  private static let ageMask: UInt16 = 0x7f

  /// In each place the low bits are the time, and those above them a part of the hash.
  private var marks: [UInt16] = []
  private var hash = KeyedHash(key: 0)

  package init() {}

  /// Whether this hello came before, and not just now; from here on it has come now.
  package mutating func isRepeat(
    _ source: Address, _ clientSession: UInt64, at now: Instant, random: inout RandomSource
  ) -> Bool {
    if marks.isEmpty {
      marks = Array(repeating: 0, count: Self.buckets * Self.places)
      hash = KeyedHash(key: random.word())
    }
    let value = hash.adding(clientSession).adding(source).value
    let first = Int(truncatingIfNeeded: value & UInt64(Self.buckets - 1)) * Self.places
    let time = UInt16(truncatingIfNeeded: now.nanoseconds >> Self.spanBits) & Self.ageMask
    let mark = UInt16(truncatingIfNeeded: value >> 32) & ~Self.ageMask | time
    for index in first..<first + Self.places
    where marks[index] != 0 && (marks[index] ^ mark) & ~Self.ageMask == 0 {
      guard (time &- marks[index]) & Self.ageMask >= 2 else { return false }
      marks[index] = mark
      return true
    }
    for index in stride(from: first + Self.places - 1, to: first, by: -1) {
      marks[index] = marks[index - 1]
    }
    marks[first] = mark
    return false
  }
}
