/// A message that must arrive, from its acceptance until every packet of it is acknowledged.
final class OutboxMessage {
  enum State {
    case waiting
    /// A packet of it was sent.
    case begun
    /// Acknowledged, or given up.
    case done
  }

  var head = MessageHead(kind: .reliable)
  var bytes: [UInt8] = []
  /// Bytes of the message, also when `bytes` are gone.
  var size = 0
  var options = SendOptions()
  var deadline = Instant.never
  var lane = 0
  var state = State.waiting
  /// Payload bytes of each packet but the last.
  var packetSize = 1
  var packets = 1
  /// The first packet that was never sent.
  var nextPacket = 0
  /// Packets that are not acknowledged.
  var missing = 1
  /// One bit for each packet that is acknowledged, if there is more than one.
  var acknowledged: [UInt64] = []

  func set(_ bytes: [UInt8], packetSize: Int) {
    self.bytes = bytes
    size = bytes.count
    self.packetSize = packetSize
    packets = Int(WireFormat.packetCount(size, size: packetSize))
    missing = packets
    nextPacket = 0
    let words = packets == 1 ? 0 : (packets + 63) / 64
    acknowledged.removeAll(keepingCapacity: words <= 16)
    for _ in 0..<words { acknowledged.append(0) }
  }

  func isAcknowledged(_ packet: Int) -> Bool {
    guard packets > 1 else { return missing == 0 }
    return acknowledged[packet / 64] >> UInt64(packet % 64) & 1 != 0
  }

  func acknowledge(_ packet: Int) {
    if packets > 1 { acknowledged[packet / 64] |= 1 << UInt64(packet % 64) }
    missing -= 1
  }
}

/// What has become of a message of the outbox.
struct Outcome {
  /// `ok` if it was acknowledged.
  var status: Status
  var bytes: Int
  var options: SendOptions
}

/// What a connection over UDP has accepted that must arrive: reliable messages, and requests and
/// replies of several packets. It says which packets go into the next datagram.
final class Outbox {
  /// Messages of one channel, in their order; or requests and replies, whose order means nothing.
  private struct Lane {
    /// Nil: requests and replies.
    var channel: UInt8?
    /// Messages of which a packet is still to be sent for the first time.
    var unsent = FIFO<UInt32>()
    /// Those of a channel that have begun and are not done, by their places.
    var begun = FIFO<UInt32>()
    var nextPlace: UInt32 = 0
  }

  /// The messages that have begun, and that the receiver may have to hold, stay below this; one
  /// larger may be alone (notes.md 6).
  static let heldLimit = 4_194_304

  var recovery: LossRecovery
  private(set) var resent: UInt64 = 0
  /// What has become of messages, for the owner to take.
  var outcomes = FIFO<Outcome>()

  private var messages = FIFO<OutboxMessage>()
  /// The number of the first of `messages`.
  private var base: UInt32 = 0
  private var lanes: [Lane] = []
  /// The lane that comes first next time.
  private var turn = 0
  private var heldBytes = 0
  /// A packet to be sent again that had no room in the last datagram.
  private var stashed: FrameRef?
  private var byKey: [UInt64: UInt32] = [:]
  private var spare: [OutboxMessage] = []

  init(now: Instant) {
    recovery = LossRecovery(now: now)
  }

  /// Whether everything was acknowledged or given up.
  var isEmpty: Bool { messages.isEmpty }

  // MARK: Accepting

  /// Takes a message; one that waits with the same key gives its place.
  func append(
    _ head: MessageHead, _ bytes: [UInt8], _ options: SendOptions, deadline: Instant
  ) {
    if options.key != 0, let number = byKey[options.key], let old = message(number),
      old.state == .waiting
    {
      outcomes.append(Outcome(status: .superseded, bytes: old.size, options: old.options))
      old.set(bytes, packetSize: old.packetSize)
      old.options = options
      old.deadline = deadline
      return
    }
    let message = spare.popLast() ?? OutboxMessage()
    let isReliable = head.kind == .reliable
    message.head = head
    message.options = options
    message.deadline = deadline
    message.state = .waiting
    message.lane = lane(isReliable ? options.channel : nil)
    message.set(
      bytes,
      packetSize: isReliable ? WireFormat.reliableFragment : WireFormat.requestFragment)
    let number = base &+ UInt32(truncatingIfNeeded: messages.count)
    if options.key != 0 { byKey[options.key] = number }
    lanes[message.lane].unsent.append(number)
    messages.append(message)
  }

  private func lane(_ channel: UInt8?) -> Int {
    if let index = lanes.firstIndex(where: { $0.channel == channel }) { return index }
    lanes.append(Lane(channel: channel))
    return lanes.count - 1
  }

  private func message(_ number: UInt32) -> OutboxMessage? {
    messages[Int(number &- base)]
  }

  /// Gives up a request that nobody waits for any more.
  func cancelRequest(_ messageID: UInt32) {
    for offset in 0..<messages.count {
      guard let message = messages[offset], message.head.kind == .request,
        message.head.messageID == messageID, message.state != .done
      else { continue }
      return finish(base &+ UInt32(truncatingIfNeeded: offset), message, .cancelled)
    }
  }

  /// Gives up the messages that are too late to begin; the earliest deadline of the others.
  func expire(at now: Instant) -> Instant {
    var earliest = Instant.never
    let first = base
    for offset in 0..<UInt32(truncatingIfNeeded: messages.count) {
      let number = first &+ offset
      guard let message = message(number), message.state == .waiting else { continue }
      if now > message.deadline {
        finish(number, message, .expired)
      } else {
        earliest = min(earliest, message.deadline)
      }
    }
    return earliest
  }

  // MARK: Sending

  /// Puts packets into a datagram as long as they fit: first what was lost, then what was not sent
  /// before, the lanes in turn. Returns whether there were any.
  func fill(_ builder: inout DatagramBuilder, session: UInt64?, at now: Instant) -> Bool {
    var hasAny = false
    while let frame = stashed ?? recovery.takeLost() {
      stashed = nil
      guard let message = message(frame.message), message.state == .begun,
        !message.isAcknowledged(Int(frame.packet))
      else { continue }
      guard append(message, Int(frame.packet), to: &builder, session) else {
        stashed = frame
        return hasAny
      }
      recovery.add(frame)
      resent &+= 1
      hasAny = true
    }
    while let number = nextUnsent(at: now), let message = message(number) {
      guard append(message, message.nextPacket, to: &builder, session) else { return hasAny }
      recovery.add(
        FrameRef(message: number, packet: UInt16(truncatingIfNeeded: message.nextPacket)))
      message.nextPacket += 1
      if message.nextPacket == message.packets { _ = lanes[message.lane].unsent.popFirst() }
      turn = message.lane + 1
      hasAny = true
    }
    return hasAny
  }

  private func append(
    _ message: OutboxMessage, _ packet: Int, to builder: inout DatagramBuilder, _ session: UInt64?
  ) -> Bool {
    var head = message.head
    head.numPackets = UInt16(truncatingIfNeeded: message.packets)
    head.packetID = UInt16(truncatingIfNeeded: packet)
    let range = WireFormat.packetRange(packet, of: message.size, size: message.packetSize)
    let bytes = message.bytes
    return builder.append(head, session: session, payload: bytes.span.extracting(range))
  }

  /// The message whose next packet is to be sent for the first time; it has begun then.
  private func nextUnsent(at now: Instant) -> UInt32? {
    for step in 0..<lanes.count {
      let index = (turn + step) % lanes.count
      while let number = lanes[index].unsent.first {
        guard let message = message(number), message.state != .done else {
          _ = lanes[index].unsent.popFirst()
          continue
        }
        if message.state == .begun { return number }
        if now > message.deadline {
          _ = lanes[index].unsent.popFirst()
          finish(number, message, .expired)
          continue
        }
        guard mayBegin(message, index) else { break }
        begin(message, number, index)
        return number
      }
    }
    return nil
  }

  /// Whether the receiver must have room for one more message of this channel.
  private func mayBegin(_ message: OutboxMessage, _ index: Int) -> Bool {
    guard let channel = lanes[index].channel else { return true }
    guard heldBytes == 0 || heldBytes + message.size <= Outbox.heldLimit else { return false }
    guard let oldest = lanes[index].begun.first.flatMap({ self.message($0)?.head.place?.place })
    else { return true }
    _ = channel
    return lanes[index].nextPlace &- oldest < WireFormat.channelWindow
  }

  private func begin(_ message: OutboxMessage, _ number: UInt32, _ index: Int) {
    message.state = .begun
    if message.options.key != 0, byKey[message.options.key] == number {
      byKey[message.options.key] = nil
    }
    guard let channel = lanes[index].channel else { return }
    message.head.place = ChannelPlace(channel: channel, place: lanes[index].nextPlace)
    lanes[index].nextPlace &+= 1
    lanes[index].begun.append(number)
    heldBytes += message.size
  }

  // MARK: Outcomes

  /// A packet was acknowledged.
  func acknowledge(_ frame: FrameRef) {
    guard let message = message(frame.message), message.state == .begun,
      Int(frame.packet) < message.packets, !message.isAcknowledged(Int(frame.packet))
    else { return }
    message.acknowledge(Int(frame.packet))
    if message.missing == 0 { finish(frame.message, message, .ok) }
  }

  private func finish(_ number: UInt32, _ message: OutboxMessage, _ status: Status) {
    message.state = .done
    message.bytes = []
    if message.options.key != 0, byKey[message.options.key] == number {
      byKey[message.options.key] = nil
    }
    outcomes.append(Outcome(status: status, bytes: message.size, options: message.options))
    retire(message.lane)
    while let first = messages.first, first.state == .done {
      _ = messages.popFirst()
      base &+= 1
      if spare.count < 64 { spare.append(first) }
    }
  }

  /// Takes out of a lane the messages that the receiver need not hold any more: those before which
  /// none is missing.
  private func retire(_ lane: Int) {
    while let number = lanes[lane].begun.first {
      guard let message = message(number), message.state == .done else { return }
      heldBytes -= message.size
      _ = lanes[lane].begun.popFirst()
    }
  }

  /// Gives everything up, for the reason that the connection has ended.
  func abandon() {
    while let message = messages.popFirst() {
      guard message.state != .done else { continue }
      outcomes.append(
        Outcome(status: .connectionEnded, bytes: message.size, options: message.options))
    }
  }
}
