import MsgBox

/// Flows of numbered datagrams that share one link with a drop-tail queue, in steps of one
/// millisecond: what the loop's timers can tell apart.
final class BottleneckPath {
  /// A datagram or an acknowledgement on its way.
  private struct Flight {
    var flow: Int
    var number: UInt64
    var message: UInt32
    var bytes: Int
    var arrival: Int
  }

  /// A sender that never runs out of data, and its receiver.
  struct Flow {
    var recovery: LossRecovery
    var nextMessage: UInt32 = 0
    var received: [Bool] = []
    /// Messages that came through.
    var complete: Set<UInt32> = []
    /// Messages that are to be sent again.
    var again: [UInt32] = []
    /// The ranges of each acknowledgement that is on its way, newest first.
    var acks: [(arrival: Int, ranges: [ClosedRange<UInt32>])] = []
    var startsAt: Int
    /// What was sent and did not reach the link.
    var dropped = 0
    var hasNews = false
  }

  var flows: [Flow] = []
  /// Bytes that the link passes on in a millisecond.
  var rate = 1250
  /// The delay one way, in milliseconds.
  var delay = 50
  /// Bytes that the queue holds.
  var queueSize = 125_000
  /// Random losses per mille of the datagrams.
  var loss = 0
  private(set) var milliseconds = 0
  private var queue = FIFO<Flight>()
  private var queued = 0
  private var credit = 0
  private var link = FIFO<Flight>()
  private var dice: SeededRandom

  init(seed: UInt64) {
    dice = SeededRandom(seed: seed)
  }

  private var now: Instant { Instant(nanoseconds: 1_000_000 * UInt64(milliseconds)) }

  func addFlow(startsAt: Int = 0) {
    flows.append(
      Flow(
        recovery: LossRecovery(now: Instant(nanoseconds: 1_000_000 * UInt64(startsAt))),
        startsAt: startsAt))
  }

  func run(until end: Int) {
    while milliseconds < end {
      milliseconds += 1
      for index in flows.indices where flows[index].startsAt <= milliseconds {
        takeAcks(index)
        flows[index].recovery.timeout(at: now)
        takeResults(index)
        send(index)
      }
      serve()
      deliver()
    }
  }

  // MARK: Sender

  private func takeAcks(_ index: Int) {
    while let ack = flows[index].acks.first, ack.arrival <= milliseconds {
      flows[index].acks.removeFirst()
      guard let largest = ack.ranges.first?.upperBound,
        flows[index].recovery.beginAck(largest: largest, delay: .milliseconds(0), at: now)
      else { continue }
      for range in ack.ranges {
        flows[index].recovery.acknowledge(first: range.lowerBound, last: range.upperBound)
      }
      flows[index].recovery.endAck(at: now)
    }
  }

  private func takeResults(_ index: Int) {
    while flows[index].recovery.takeAcked() != nil {}
    while let frame = flows[index].recovery.takeLost() { flows[index].again.append(frame.message) }
  }

  private func send(_ index: Int) {
    while flows[index].recovery.maySend(at: now) {
      var message = flows[index].nextMessage
      if flows[index].again.isEmpty {
        flows[index].nextMessage += 1
      } else {
        message = flows[index].again.removeFirst()
      }
      let number = flows[index].recovery.nextNumber
      flows[index].recovery.add(FrameRef(message: message, packet: 0))
      flows[index].recovery.sent(bytes: 1200, isLimitedByApplication: false, at: now)
      guard queued + 1200 <= queueSize, !dice.chance(loss) else {
        flows[index].dropped += 1
        continue
      }
      queued += 1200
      queue.append(Flight(flow: index, number: number, message: message, bytes: 1200, arrival: 0))
    }
  }

  // MARK: Link and receiver

  private func serve() {
    credit = queue.isEmpty ? 0 : credit + rate
    while var flight = queue.first, credit >= flight.bytes {
      _ = queue.popFirst()
      queued -= flight.bytes
      credit -= flight.bytes
      flight.arrival = milliseconds + delay
      link.append(flight)
    }
  }

  private func deliver() {
    while let flight = link.first, flight.arrival <= milliseconds {
      _ = link.popFirst()
      let number = Int(flight.number)
      while flows[flight.flow].received.count <= number {
        flows[flight.flow].received.append(false)
      }
      flows[flight.flow].received[number] = true
      flows[flight.flow].complete.insert(flight.message)
      flows[flight.flow].hasNews = true
    }
    for index in flows.indices where flows[index].hasNews {
      flows[index].hasNews = false
      flows[index].acks.append((milliseconds + delay, Self.ranges(flows[index].received)))
    }
  }

  /// What was received of the newest 400, newest first, in at most 256 ranges.
  private static func ranges(_ received: [Bool]) -> [ClosedRange<UInt32>] {
    var ranges: [ClosedRange<UInt32>] = []
    var number = received.count - 1
    while number >= max(received.count - 400, 0), ranges.count < 256 {
      let last = number
      while number >= 0, received[number] { number -= 1 }
      if number < last { ranges.append(UInt32(number + 1)...UInt32(last)) }
      while number >= 0, !received[number] { number -= 1 }
    }
    return ranges
  }
}
