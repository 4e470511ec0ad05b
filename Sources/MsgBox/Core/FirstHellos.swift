/// The hellos that got no cookie because the server was behind with reading. Who says hello again is
/// somebody who waits for an answer, and gets one: a flood from ever new sources is read as fast as
/// it comes, and not answered, while clients come in with their second hello.
///
/// A table of fixed size: each word has marks of the four newest hellos that fell to it. What is
/// pushed out of it, or looks like another, does no harm beyond one answer more or less.
package struct FirstHellos {
  /// A flood of half a million hellos a second pushes out hardly any within half a second.
  private static let size = 65_536

  private var words: [UInt64] = []
  private var hash = KeyedHash(key: 0)

  package init() {}

  /// Whether this hello came before; from here on it has.
  package mutating func isRepeat(
    _ source: Address, _ clientSession: UInt64, random: inout RandomSource
  ) -> Bool {
    if words.isEmpty {
      words = Array(repeating: 0, count: Self.size)
      hash = KeyedHash(key: random.word())
    }
    let value = hash.adding(clientSession).adding(source).value
    let index = Int(truncatingIfNeeded: value & 0xffff)
    let mark = max(value >> 16 & 0xffff, 1)
    var marks = words[index]
    while marks != 0 {
      if marks & 0xffff == mark { return true }
      marks >>= 16
    }
    words[index] = words[index] << 16 | mark
    return false
  }
}
