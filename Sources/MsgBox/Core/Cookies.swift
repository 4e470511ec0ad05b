/// The cookies of a box: a hello that brings one back was sent by somebody whom answers reach, and
/// nothing is kept to know it again.
///
/// A cookie is the number of the key that made it, under the byte that steers to its socket, and
/// the hash of that, of the source and of the client's id under that key.
package struct Cookies {
  /// After this there is a new key. The one before it is still believed, so a cookie is good for at
  /// least this and at most twice as long.
  package static let keyLifetime = Interval.seconds(30)
  private static let numberMask: UInt64 = 1 << 56 - 1

  private var current = SipHash.Key(low: 0, high: 0)
  private var previous = SipHash.Key(low: 0, high: 0)
  /// The number of the current key; 0 while there is none.
  private var number: UInt64 = 0
  private var since = Instant(nanoseconds: 0)

  package init() {}

  package mutating func make(
    _ source: Address, _ clientSession: UInt64, steering: UInt8, at now: Instant,
    random: inout RandomSource
  ) -> Cookie {
    renewKeys(at: now, random: &random)
    let high = UInt64(steering) << 56 | number
    return Cookie(high: high, low: Self.hash(high, source, clientSession, current))
  }

  /// Whether this box gave the cookie to that client not long ago.
  package mutating func isGood(
    _ cookie: Cookie, _ source: Address, _ clientSession: UInt64, at now: Instant,
    random: inout RandomSource
  ) -> Bool {
    guard cookie != .none else { return false }
    renewKeys(at: now, random: &random)
    let behind = (number &- cookie.high) & Self.numberMask
    guard behind <= 1 else { return false }
    let key = behind == 0 ? current : previous
    return cookie.low == Self.hash(cookie.high, source, clientSession, key)
  }

  private mutating func renewKeys(at now: Instant, random: inout RandomSource) {
    let age = now.since(since)
    guard number == 0 || age >= Self.keyLifetime else { return }
    // A key that nobody has asked for is as old as if somebody had.
    let isLate = number == 0 || age >= Self.keyLifetime * 2
    previous = isLate ? Self.newKey(&random) : current
    current = Self.newKey(&random)
    number = (number &+ (isLate ? 2 : 1)) & Self.numberMask
    since = isLate ? now : since + Self.keyLifetime
  }

  private static func newKey(_ random: inout RandomSource) -> SipHash.Key {
    SipHash.Key(low: random.word(), high: random.word())
  }

  private static func hash(
    _ high: UInt64, _ source: Address, _ clientSession: UInt64, _ key: SipHash.Key
  ) -> UInt64 {
    var hash = SipHash(key)
    hash.add(high)
    hash.add(clientSession)
    hash.add(source.ip.high)
    hash.add(source.ip.low)
    hash.add(UInt64(source.scope) << 16 | UInt64(source.port))
    return hash.value()
  }
}
