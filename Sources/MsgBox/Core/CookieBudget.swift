/// How many cookies the source prefixes get: each so many in a while, and fewer while many answers
/// wait to be sent, so that a flood from some prefixes leaves room for the answers to all others.
///
/// A sketch of fixed size (Cormode and Muthukrishnan, 2005): a prefix has two cells, and has used up
/// what it may when both say so. It begins anew after each while under another key, so who shares
/// both cells with a flood does so for that while alone.
package struct CookieBudget {
  package static let perPrefix: UInt16 = 64
  /// What is left of it when a quarter of the room for cookies is taken, and when half is.
  package static let perPrefixOfSome: UInt16 = 8
  package static let perPrefixOfMany: UInt16 = 1
  /// Answers that wait at a socket beyond which there are no cookies: the rest of the room is for
  /// what others get.
  package static let room = SocketState.answerMark / 2
  /// While fewer wait, nothing is counted.
  package static let free = room / 8
  private static let span = Interval.milliseconds(250)
  private static let size = 65_536

  private var cells: [UInt16] = []
  private var hash = KeyedHash(key: 0)
  private var began = Instant(nanoseconds: 0)
  private var lastSocket = ConnectionRecord.noSocket
  private var lastAsking = Address.unspecified
  private var lastAskedAt = Instant(nanoseconds: 0)

  package init() {}

  /// Whether one more cookie may go to `ip`; if so it is counted.
  /// - Parameter waiting: the answers that wait to be sent.
  package mutating func spend(
    on ip: IPAddress, waiting: Int, at now: Instant, random: inout RandomSource
  ) -> Bool {
    if cells.isEmpty || now.since(began) >= CookieBudget.span { begin(at: now, &random) }
    let most = CookieBudget.most(waiting)
    let word = hash.adding(ip.sourcePrefix).value
    let first = Int(truncatingIfNeeded: word & 0xffff)
    let second = Int(truncatingIfNeeded: word >> 16 & 0xffff)
    guard min(cells[first], cells[second]) < most else { return false }
    count(first)
    count(second)
    return true
  }

  /// A hello without a good cookie came.
  mutating func asked(_ source: DatagramSource, at now: Instant) {
    lastSocket = source.socket
    lastAsking = source.remote
    lastAskedAt = now
  }

  /// Whether the hello before this one was of `source`, too, at this very moment: what comes in one
  /// reception has one time.
  func hasJustAsked(_ source: DatagramSource, at now: Instant) -> Bool {
    lastAskedAt == now && lastAsking == source.remote && lastSocket == source.socket
  }

  private mutating func count(_ cell: Int) {
    // One that many share may be full.
    cells[cell] = max(cells[cell], cells[cell] &+ 1)
  }

  private static func most(_ waiting: Int) -> UInt16 {
    if waiting < room / 4 { return perPrefix }
    return waiting < room / 2 ? perPrefixOfSome : perPrefixOfMany
  }

  private mutating func begin(at now: Instant, _ random: inout RandomSource) {
    if cells.isEmpty {
      cells = Array(repeating: 0, count: CookieBudget.size)
    } else {
      for index in cells.indices { cells[index] = 0 }
    }
    hash = KeyedHash(key: random.word())
    began = now
  }
}
