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
  /// Bits per second; 0 is unlimited. Everything between the two hosts shares them.
  var bandwidth: UInt64 = 0
  /// The queue in front of a link of limited bandwidth, in bytes; a datagram that finds it full is
  /// lost.
  var queueBytes = 65_536
  /// A link that is down loses every datagram, and holds back streams until it is up again.
  var isUp = true
}

/// One direction between two hosts.
final class Link {
  var conditions: LinkConditions {
    didSet { adjustPipe() }
  }
  /// What the links of several hosts go through before they part.
  var bottleneck: Bottleneck?
  /// The link's own.
  let pipe: Bottleneck
  private var lastArrival: UInt64 = 0

  init(_ conditions: LinkConditions) {
    self.conditions = conditions
    pipe = Bottleneck(bandwidth: conditions.bandwidth, queueBytes: conditions.queueBytes)
  }

  private func adjustPipe() {
    pipe.bandwidth = conditions.bandwidth
    pipe.queueBytes = conditions.queueBytes
  }

  /// When the copies of a datagram of `count` bytes arrive; none if it is lost.
  func arrivals(count: Int, at now: Instant, random: inout SeededRandom) -> [Instant] {
    guard conditions.isUp, count + 28 <= conditions.mtu, !random.chance(conditions.loss) else {
      return []
    }
    guard let departure = departure(of: count + 28, at: now) else { return [] }
    var arrivals = [arrival(at: departure, random: &random)]
    if random.chance(conditions.duplication) {
      arrivals.append(arrival(at: departure, random: &random))
    }
    return arrivals
  }

  private func departure(of count: Int, at now: Instant) -> Instant? {
    guard let bottleneck else { return pipe.departure(of: count, at: now) }
    return bottleneck.departure(of: count, at: now).flatMap { pipe.departure(of: count, at: $0) }
  }

  /// When `count` bytes of a stream have left: they wait for room where a datagram would be lost.
  func streamDeparture(of count: Int, at now: Instant) -> Instant {
    let packet = count + 40
    return pipe.enqueue(packet, at: bottleneck?.enqueue(packet, at: now) ?? now)
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
