import MsgBox

/// A datagram on its way.
struct Datagram {
  var from: Address
  var to: Address
  var bytes: [UInt8]
}

/// How one direction between two addresses behaves; may be changed at any time.
struct LinkConditions {
  var latency = Interval.milliseconds(10)
  /// Up to so much is added to the latency.
  var jitter = Interval.milliseconds(0)
  /// Of 1000 datagrams so many are lost.
  var loss = 0
  /// Of 1000 datagrams so many arrive twice.
  var duplication = 0
  /// Of 1000 datagrams so many are held back and overtaken by later ones.
  var reordering = 0
  /// Largest IP packet; a datagram takes 28 bytes more than it carries.
  var mtu = 1500
  /// A link that is down loses every datagram, and holds back streams until it is up again.
  var isUp = true
}

/// One direction between two hosts.
final class Link {
  var conditions: LinkConditions
  private var lastArrival: UInt64 = 0

  init(_ conditions: LinkConditions) {
    self.conditions = conditions
  }

  /// When the copies of a datagram of `count` bytes arrive; none if it is lost.
  func arrivals(count: Int, at now: Instant, random: inout SeededRandom) -> [Instant] {
    guard conditions.isUp, count + 28 <= conditions.mtu, !random.chance(conditions.loss) else {
      return []
    }
    var arrivals = [arrival(at: now, random: &random)]
    if random.chance(conditions.duplication) {
      arrivals.append(arrival(at: now, random: &random))
    }
    return arrivals
  }

  /// The time that one thing takes from end to end, in nanoseconds.
  func delay(random: inout SeededRandom) -> Interval {
    let jitter = random.below(Int(conditions.jitter.nanoseconds) + 1)
    return Interval(nanoseconds: conditions.latency.nanoseconds + UInt64(jitter))
  }

  private func arrival(at now: Instant, random: inout SeededRandom) -> Instant {
    let arrival = now + delay(random: &random)
    if random.chance(conditions.reordering) {
      return arrival + delay(random: &random) * UInt64(1 + random.below(3))
    }
    lastArrival = max(lastArrival, arrival.nanoseconds)
    return Instant(nanoseconds: lastArrival)
  }
}
