/// What a connection over UDP has accepted that must arrive: reliable messages, and requests and
/// replies of several packets. It says which packets go into the next datagram.
final class Outbox {
  /// Messages of one channel, in their order; or requests and replies, whose order means nothing.
  private final class Lane {
    /// Nil: requests and replies.
    var channel: UInt8?
    /// Messages of which a packet is still to be sent for the first time.
    var unsent = FIFO<UInt32>()
    /// Those of a channel that have begun, from the first one that is not done, by their places.
    var begun = FIFO<UInt32>()
    var nextPlace: UInt32

    init(channel: UInt8?, firstPlace: UInt32) {
      self.channel = channel
      nextPlace = firstPlace
    }
  }

  /// A message, or what is left of one that is done before an older one.
  private struct Position {
    var message: OutboxMessage?
  }

  /// No message begins that is so many behind the oldest one that is not done, of whatever channel:
  /// a peer that never acknowledges that one must not make positions pile up without end.
  static let longestSpan: UInt32 = 1_048_576

  /// The messages that have begun, and that the receiver may have to hold, stay below this; one
  /// larger may be besides (notes.md 6.4).
  static let heldLimit = 4_194_304

  var recovery: LossRecovery
  /// Packets that were sent again.
  private(set) var resent: UInt64 = 0
  /// What has become of messages, for the owner to take.
  var outcomes = FIFO<Outcome>()

  private let pool: OutboxPool
  private let firstNumber: UInt32
  private var messages = FIFO<Position>()
  /// The number of the first of `messages`.
  private var base: UInt32
  private var lanes: [Lane] = []
  /// The lane that comes first next time.
  private var turn = 0
  /// Entries of all `unsent`.
  private var unsentCount = 0
  /// By what is begun: of messages that fit below `heldLimit` together, and larger ones.
  private var heldBytes = 0
  private var largeHeld = 0
  /// A packet to be sent again that had no room in the last datagram.
  private var stashed: FrameRef?
  private var byKey: [UInt64: UInt32] = [:]
  /// Requests by message id, for those who give them up.
  private var requests: [UInt32: UInt32] = [:]

  /// - Parameter firstNumber: of datagrams, places and messages; 0 but in tests.
  init(now: Instant, pool: OutboxPool, firstNumber: UInt32 = 0) {
    recovery = LossRecovery(now: now, firstNumber: UInt64(firstNumber))
    self.pool = pool
    self.firstNumber = firstNumber
    base = firstNumber
  }

  /// Whether everything was acknowledged or given up.
  var isEmpty: Bool { messages.isEmpty }

  /// Whether there may be a packet to send; if not, acknowledgements or losses are waited for.
  var hasWork: Bool { unsentCount > 0 || stashed != nil || recovery.hasLost }

  // MARK: Accepting

  /// Takes a message; one that waits with the same key is given up, and gives its place if it is
  /// of the same channel. `shared` is the same payload, if there is an array of it.
  func append(
    _ head: MessageHead, _ payload: Span<UInt8>, shared: [UInt8]?, _ options: SendOptions,
    deadline: Instant
  ) {
    let isReliable = head.kind == .reliable
    let lane = lane(isReliable ? options.channel : nil)
    let packetSize = isReliable ? WireFormat.reliableFragment : WireFormat.requestFragment
    if options.key != 0, let number = byKey[options.key], let old = message(number),
      old.state == .waiting
    {
      guard old.lane != lane else {
        outcomes.append(Outcome(status: .superseded, bytes: old.size, options: old.options))
        old.set(payload, shared, packetSize: packetSize)
        old.options = options
        old.deadline = deadline
        return
      }
      finish(number, old, .superseded)
    }
    let message = pool.take()
    message.head = head
    message.options = options
    message.deadline = deadline
    message.state = .waiting
    message.lane = lane
    message.set(payload, shared, packetSize: packetSize)
    let number = base &+ UInt32(truncatingIfNeeded: messages.count)
    if options.key != 0 { byKey[options.key] = number }
    if head.kind == .request, let messageID = head.messageID { requests[messageID] = number }
    lanes[lane].unsent.append(number)
    unsentCount += 1
    messages.append(Position(message: message))
  }

  private func lane(_ channel: UInt8?) -> Int {
    if let index = lanes.firstIndex(where: { $0.channel == channel }) { return index }
    lanes.append(Lane(channel: channel, firstPlace: firstNumber))
    return lanes.count - 1
  }

  private func message(_ number: UInt32) -> OutboxMessage? {
    messages[Int(number &- base)]?.message
  }

  /// Sends no more of a request whose reply has come, or for which nobody waits any more.
  func settleRequest(_ messageID: UInt32) {
    guard let number = requests[messageID], let message = message(number), message.state != .done
    else { return }
    finish(number, message, .cancelled)
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
  /// before, the lanes in turn.
  func fill(_ builder: inout DatagramBuilder, session: UInt64?, at now: Instant) -> Filling {
    var hasAny = false
    while let frame = stashed ?? recovery.takeLost() {
      stashed = nil
      guard let message = message(frame.message), message.state == .begun,
        !message.isAcknowledged(Int(frame.packet))
      else { continue }
      guard append(message, Int(frame.packet), to: &builder, session) else {
        stashed = frame
        return Filling(hasAny: hasAny, hasMore: true)
      }
      recovery.add(frame)
      resent &+= 1
      hasAny = true
    }
    while let number = nextUnsent(at: now), let message = message(number) {
      guard append(message, message.nextPacket, to: &builder, session) else {
        return Filling(hasAny: hasAny, hasMore: true)
      }
      if message.state == .waiting { begin(message, number) }
      recovery.add(
        FrameRef(message: number, packet: UInt16(truncatingIfNeeded: message.nextPacket)))
      message.nextPacket += 1
      if message.nextPacket == message.packets { popUnsent(message.lane) }
      turn = message.lane + 1
      hasAny = true
    }
    return Filling(hasAny: hasAny, hasMore: false)
  }

  private func append(
    _ message: OutboxMessage, _ packet: Int, to builder: inout DatagramBuilder, _ session: UInt64?
  ) -> Bool {
    var head = message.head
    head.numPackets = UInt16(truncatingIfNeeded: message.packets)
    head.packetID = UInt16(truncatingIfNeeded: packet)
    let bytes = message.bytes
    return builder.append(
      head, session: session, payload: bytes.span.extracting(message.range(of: packet)))
  }

  private func popUnsent(_ lane: Int) {
    _ = lanes[lane].unsent.popFirst()
    unsentCount -= 1
  }

  /// The message whose next packet is to be sent for the first time. If it has not begun, it has
  /// the place that it gets when it does.
  private func nextUnsent(at now: Instant) -> UInt32? {
    guard unsentCount > 0 else { return nil }
    for step in 0..<lanes.count {
      let index = (turn + step) % lanes.count
      while let number = lanes[index].unsent.first {
        guard let message = message(number), message.state != .done else {
          popUnsent(index)
          continue
        }
        if message.state == .begun { return number }
        if now > message.deadline {
          popUnsent(index)
          finish(number, message, .expired)
          continue
        }
        guard mayBegin(message, number, index) else { break }
        if let channel = lanes[index].channel {
          message.head.place = ChannelPlace(channel: channel, place: lanes[index].nextPlace)
        }
        return number
      }
    }
    return nil
  }

  /// Whether the receiver must have room for one more message of this lane.
  private func mayBegin(_ message: OutboxMessage, _ number: UInt32, _ index: Int) -> Bool {
    guard number &- base < Outbox.longestSpan else { return false }
    guard lanes[index].channel != nil else { return true }
    let cost = message.holdCost
    if cost > Outbox.heldLimit {
      guard largeHeld == 0 else { return false }
    } else if heldBytes + cost > Outbox.heldLimit {
      return false
    }
    guard let oldest = lanes[index].begun.first.flatMap({ self.message($0)?.head.place?.place })
    else { return true }
    return lanes[index].nextPlace &- oldest < WireFormat.channelWindow
  }

  /// The first packet of a message is sent.
  private func begin(_ message: OutboxMessage, _ number: UInt32) {
    message.state = .begun
    forgetKey(message, number)
    guard lanes[message.lane].channel != nil else { return }
    lanes[message.lane].nextPlace &+= 1
    lanes[message.lane].begun.append(number)
    hold(message, 1)
  }

  /// Counts a message that the receiver may have to hold, or no more.
  private func hold(_ message: OutboxMessage, _ sign: Int) {
    let cost = message.holdCost
    if cost > Outbox.heldLimit { largeHeld += sign } else { heldBytes += sign * cost }
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
    let channel = lanes[message.lane].channel
    // Nobody waits for another one before it is delivered.
    if message.state == .begun, channel == 0 { hold(message, -1) }
    let isInOrder = message.state == .begun && channel != nil && channel != 0
    let lane = message.lane
    message.state = .done
    message.clear()
    forgetKey(message, number)
    if message.head.kind == .request, let messageID = message.head.messageID {
      requests[messageID] = nil
    }
    outcomes.append(Outcome(status: status, bytes: message.size, options: message.options))
    if !isInOrder { letGo(number) }
    retire(lane)
    // It waits for one before it.
    if isInOrder { self.message(number)?.clear(keepsMemory: false) }
    while let first = messages.first, first.message == nil {
      _ = messages.popFirst()
      base &+= 1
    }
    messages.shrink(to: 1024)
  }

  /// Nothing of a message is needed any more but that its number was given.
  private func letGo(_ number: UInt32) {
    guard let message = message(number) else { return }
    messages[Int(number &- base)] = Position(message: nil)
    pool.giveBack(message)
  }

  private func forgetKey(_ message: OutboxMessage, _ number: UInt32) {
    if message.options.key != 0, byKey[message.options.key] == number {
      byKey[message.options.key] = nil
    }
  }

  /// Takes out of a lane the messages before which none is missing: of an ordered channel the
  /// receiver need not hold them any more.
  private func retire(_ lane: Int) {
    while let number = lanes[lane].begun.first {
      if let message = message(number) {
        guard message.state == .done else { return }
        hold(message, -1)
        letGo(number)
      }
      _ = lanes[lane].begun.popFirst()
    }
    lanes[lane].begun.shrink(to: 256)
    lanes[lane].unsent.shrink(to: 256)
  }

  /// Gives everything up, for the reason that the connection has ended.
  func abandon() {
    while let position = messages.popFirst() {
      guard let message = position.message else { continue }
      if message.state != .done {
        outcomes.append(
          Outcome(status: .connectionEnded, bytes: message.size, options: message.options))
      }
      message.clear()
      pool.giveBack(message)
    }
  }
}
