/// What a connection over UDP has accepted that must arrive: reliable messages, and requests and
/// replies of several packets. It says which packets go into the next datagram.
final class Outbox {
  /// Messages of one channel, in their order; or requests and replies, whose order means nothing.
  struct Lane {
    /// Nil: requests and replies.
    var channel: UInt8?
    /// Messages of which a packet is still to be sent for the first time.
    var unsent = Ring<UInt32>()
    /// Those of a channel that have begun, from the first one that is not done, by their places.
    var begun = Ring<UInt32>()
    var nextPlace: UInt32

    init(channel: UInt8?, firstPlace: UInt32) {
      self.channel = channel
      nextPlace = firstPlace
    }
  }

  /// A message by its number, and its slot in the pool.
  struct Entry {
    var number: UInt32
    var slot: Int
  }

  /// No message begins that is so many behind the oldest one that is not done, of whatever channel:
  /// a peer that never acknowledges that one must not make positions pile up without end.
  static let longestSpan: UInt32 = 1_048_576

  /// The messages that have begun, and that the receiver may have to hold, stay below this; one
  /// larger may be besides (notes.md 6.4).
  static let heldLimit = 4_194_304

  /// In `slots`: the message is done before an older one, and nothing is left of it.
  private static let gone = UInt32.max

  var recovery: LossRecovery
  /// Packets that were sent again.
  var resent: UInt64 = 0
  /// Messages that were done since the owner last asked, and their bytes; but for those that ended
  /// with their connection.
  var doneMessages = 0
  var doneBytes = 0
  /// What has become of messages that were not acknowledged, or whose program wants to know, for the
  /// owner to take.
  var outcomes = FIFO<Outcome>()

  let pool: OutboxPool
  private let firstNumber: UInt32
  /// Slots of the messages, by their numbers.
  private var slots = Ring<UInt32>()
  /// The number of the first of `slots`.
  private var base: UInt32
  var lanes: [Lane] = []
  /// The lane that comes first next time.
  var turn = 0
  /// Entries of all `unsent`.
  var unsentCount = 0
  /// By what is begun: of messages that fit below `heldLimit` together, and larger ones.
  private var heldBytes = 0
  private var largeHeld = 0
  /// A packet to be sent again that had no room in the last datagram.
  var stashed: FrameRef?
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
  var isEmpty: Bool { slots.isEmpty }

  /// Whether there may be a packet to send; if not, acknowledgements or losses are waited for.
  var hasWork: Bool { unsentCount > 0 || stashed != nil || recovery.hasLost }

  // MARK: Accepting

  /// Takes a message; one that waits with the same key is given up, and gives its place if it is
  /// of the same channel. `shared` is the same payload, if there is an array of it.
  func append(
    _ head: MessageHead, _ payload: Span<UInt8>, shared: MessageBytes?, _ options: SendOptions,
    deadline: Instant
  ) {
    let lane = lane(head.kind == .reliable ? options.channel : nil)
    if options.key != 0, replaced(by: payload, shared, options, lane, deadline: deadline) { return }
    let slot = pool.take()
    pool.messages[slot].accept(head, payload, shared, options, deadline: deadline, lane: lane)
    let number = base &+ UInt32(truncatingIfNeeded: slots.count)
    if options.key != 0 { byKey[options.key] = number }
    if head.kind == .request, let messageID = head.messageID { requests[messageID] = number }
    lanes[lane].unsent.append(number)
    unsentCount += 1
    slots.append(UInt32(truncatingIfNeeded: slot))
  }

  /// Gives up the message that waits with the same key; true if the new one has its place.
  private func replaced(
    by payload: Span<UInt8>, _ shared: MessageBytes?, _ options: SendOptions, _ lane: Int,
    deadline: Instant
  ) -> Bool {
    guard let number = byKey[options.key], let old = slot(number),
      pool.messages[old].state == .waiting
    else { return false }
    guard pool.messages[old].lane == lane else {
      finish(Entry(number: number, slot: old), .superseded)
      return false
    }
    let message = pool.messages[old]
    tell(.superseded, message.size, message.options)
    pool.messages[old].replace(payload, shared, options, deadline: deadline)
    return true
  }

  private func lane(_ channel: UInt8?) -> Int {
    for index in 0..<lanes.count where lanes[index].channel == channel { return index }
    lanes.append(Lane(channel: channel, firstPlace: firstNumber))
    return lanes.count - 1
  }

  /// Where the message with this number is; nil if nothing is left of it.
  func slot(_ number: UInt32) -> Int? {
    let offset = Int(number &- base)
    guard offset < slots.count, case let slot = slots[offset], slot != Self.gone else {
      return nil
    }
    return Int(slot)
  }

  /// Sends no more of a request whose reply has come, or for which nobody waits any more.
  func settleRequest(_ messageID: UInt32) {
    guard let number = requests[messageID], let slot = slot(number),
      pool.messages[slot].state != .done
    else { return }
    finish(Entry(number: number, slot: slot), .cancelled)
  }

  /// Gives up the messages that are too late to begin; the earliest deadline of the others.
  func expire(at now: Instant) -> Instant {
    var earliest = Instant.never
    let first = base
    for offset in 0..<UInt32(truncatingIfNeeded: slots.count) {
      let number = first &+ offset
      guard let slot = slot(number), pool.messages[slot].state == .waiting else { continue }
      if now > pool.messages[slot].deadline {
        finish(Entry(number: number, slot: slot), .expired)
      } else {
        earliest = min(earliest, pool.messages[slot].deadline)
      }
    }
    return earliest
  }

  // MARK: What the receiver may have to hold

  /// Whether the receiver must have room for one more message of this lane.
  func mayBegin(_ entry: Entry, _ index: Int) -> Bool {
    guard entry.number &- base < Outbox.longestSpan else { return false }
    guard lanes[index].channel != nil else { return true }
    let cost = pool.messages[entry.slot].holdCost
    if cost > Outbox.heldLimit {
      guard largeHeld == 0 else { return false }
    } else if heldBytes + cost > Outbox.heldLimit {
      return false
    }
    // Each place from the oldest that is not done has one entry.
    return lanes[index].begun.count < Int(WireFormat.channelWindow)
  }

  /// The first packet of a message is sent.
  func begin(_ entry: Entry, _ lane: Int) {
    let key = pool.messages[entry.slot].options.key
    if key != 0 { forget(key, entry.number) }
    guard lanes[lane].channel != nil else { return }
    lanes[lane].nextPlace &+= 1
    lanes[lane].begun.append(entry.number)
    hold(pool.messages[entry.slot].holdCost, 1)
  }

  /// Counts a message that the receiver may have to hold, or no more.
  private func hold(_ cost: Int, _ sign: Int) {
    if cost > Outbox.heldLimit { largeHeld += sign } else { heldBytes += sign * cost }
  }

  // MARK: Outcomes

  /// A packet was acknowledged.
  func acknowledge(_ frame: FrameRef) {
    guard let slot = slot(frame.message),
      pool.messages[slot].takeAcknowledgement(Int(frame.packet))
    else { return }
    finish(Entry(number: frame.message, slot: slot), .ok)
  }

  func finish(_ entry: Entry, _ status: Status) {
    let slot = entry.slot
    let lane = pool.messages[slot].lane
    let hasBegun = pool.messages[slot].state == .begun
    pool.messages[slot].state = .done
    let options = pool.messages[slot].options
    if options.key != 0 { forget(options.key, entry.number) }
    if pool.messages[slot].head.kind == .request,
      let messageID = pool.messages[slot].head.messageID
    {
      requests[messageID] = nil
    }
    tell(status, pool.messages[slot].size, options)
    if hasBegun, let channel = lanes[lane].channel {
      finish(entry, lane, isOrdered: channel != 0)
    } else {
      letGo(entry)
    }
    while slots.first == Self.gone {
      slots.removeFirst()
      base &+= 1
    }
  }

  /// A message of a channel that has begun is done. In an ordered one the receiver may have to hold
  /// it until those before it are.
  private func finish(_ entry: Entry, _ lane: Int, isOrdered: Bool) {
    let isFirst = lanes[lane].begun.first == entry.number
    if isFirst || !isOrdered {
      hold(pool.messages[entry.slot].holdCost, -1)
      letGo(entry)
    } else {
      pool.messages[entry.slot].clear(keepsMemory: false)
    }
    guard isFirst else { return }
    lanes[lane].begun.removeFirst()
    retire(lane)
  }

  /// Notes for the owner what has become of a message.
  private func tell(_ status: Status, _ size: Int, _ options: SendOptions) {
    doneMessages += 1
    doneBytes += size
    if status != .ok || options.wantsOutcome {
      outcomes.append(Outcome(status: status, options: options))
    }
  }

  /// Nothing of a message is needed any more but that its number was given.
  private func letGo(_ entry: Entry) {
    slots[Int(entry.number &- base)] = Self.gone
    pool.giveBack(entry.slot)
  }

  private func forget(_ key: UInt64, _ number: UInt32) {
    if byKey[key] == number { byKey[key] = nil }
  }

  /// Takes out of a lane the messages before which none is missing: of an ordered channel the
  /// receiver need not hold them any more.
  private func retire(_ lane: Int) {
    while let number = lanes[lane].begun.first {
      if let slot = slot(number) {
        guard pool.messages[slot].state == .done else { return }
        hold(pool.messages[slot].holdCost, -1)
        letGo(Entry(number: number, slot: slot))
      }
      lanes[lane].begun.removeFirst()
    }
  }

  /// Gives the memory of a burst back, if nothing is left of it.
  func shrink() {
    slots.shrink()
    for lane in lanes.indices {
      lanes[lane].begun.shrink()
      lanes[lane].unsent.shrink()
    }
  }

  /// Gives everything up, for the reason that the connection has ended.
  func abandon() {
    while let slot = slots.popFirst() {
      guard slot != Self.gone else { continue }
      let index = Int(slot)
      if pool.messages[index].state != .done {
        outcomes.append(Outcome(status: .connectionEnded, options: pool.messages[index].options))
        pool.messages[index].state = .done
      }
      pool.giveBack(index)
    }
  }
}
