/// A message that must arrive, from its acceptance until every packet of it is acknowledged.
struct OutboxMessage {
  enum State: UInt8 {
    case waiting
    /// A packet of it was sent.
    case begun
    /// Acknowledged, or given up.
    case done
  }

  /// Bytes of a payload that leaves its memory to the next message.
  private static let keptCapacity = 2048

  var head = MessageHead(kind: .reliable)
  /// The payload, and behind it what an earlier one has left.
  private(set) var bytes: [UInt8] = []
  /// The payload instead, if it lies in memory of the program.
  private var lent: MessageBytes?
  /// Nobody else has `bytes`.
  private var ownsBytes = true
  #if DEBUG
    var state = State.done {
      didSet { StateChange.tell("message", oldValue == .done ? nil : oldValue, state) }
    }
  #else
    var state = State.done
  #endif
  /// Bytes of the message, also when `bytes` are gone.
  private(set) var size = 0
  var options = SendOptions()
  var deadline = Instant.never
  /// The index of its lane.
  var lane = 0
  /// Payload bytes of each packet but the last.
  private var packetSize = 1
  private(set) var packets = 1
  /// The first packet that was never sent.
  var nextPacket = 0
  /// Packets that are not acknowledged.
  private var missing = 1
  /// One bit for each packet that is acknowledged, if there is more than one.
  private var acknowledged: [UInt64] = []

  /// Becomes a message that waits for its turn.
  mutating func accept(
    _ head: MessageHead, _ payload: Span<UInt8>, _ shared: MessageBytes?, _ options: SendOptions,
    deadline: Instant, lane: Int
  ) {
    self.head = head
    self.lane = lane
    state = .waiting
    replace(payload, shared, options, deadline: deadline)
  }

  /// Takes the payload and the options of another message over: `shared` as it is, if there is such
  /// an array, else a copy of `payload`.
  mutating func replace(
    _ payload: Span<UInt8>, _ shared: MessageBytes?, _ options: SendOptions, deadline: Instant
  ) {
    self.options = options
    self.deadline = deadline
    size = payload.count
    lent = nil
    if let shared, shared.isLent {
      lent = shared
    } else if let shared {
      bytes = shared.whole
      ownsBytes = false
    } else {
      copy(payload)
    }
    packetSize =
      head.kind == .reliable ? WireFormat.reliableFragment : WireFormat.requestFragment
    packets = size <= packetSize ? 1 : Int(WireFormat.packetCount(size, size: packetSize))
    missing = packets
    nextPacket = 0
    if packets > 1 || !acknowledged.isEmpty { clearAcknowledged() }
  }

  private mutating func copy(_ payload: Span<UInt8>) {
    if !ownsBytes || bytes.count < size {
      bytes = []
      bytes.reserveCapacity(size)
      bytes.append(bytes: payload)
    } else {
      var target = bytes.mutableSpan
      _ = target.copyToFront(payload)
    }
    ownsBytes = true
  }

  private mutating func clearAcknowledged() {
    let words = packets == 1 ? 0 : (packets + 63) / 64
    acknowledged.removeAll(keepingCapacity: words <= 16)
    for _ in 0..<words { acknowledged.append(0) }
  }

  /// The payload is needed no more. A small one leaves its memory to the next message.
  mutating func clear(keepsMemory: Bool = true) {
    lent = nil
    guard !keepsMemory || !ownsBytes || bytes.count > Self.keptCapacity else { return }
    bytes = []
    ownsBytes = true
  }

  /// Its payload, at the front of these.
  var payload: MessageBytes { lent ?? MessageBytes(bytes) }

  /// A packet of it is sent for the first time; true for the first of all.
  mutating func sendNext() -> Bool {
    nextPacket += 1
    guard state == .waiting else { return false }
    state = .begun
    return true
  }

  /// Notes that a packet was acknowledged; true if it was the last of those that are missing.
  mutating func takeAcknowledgement(_ packet: Int) -> Bool {
    guard state == .begun, packet < packets, !isAcknowledged(packet) else { return false }
    if packets > 1 { acknowledged[packet / 64] |= 1 << UInt64(packet % 64) }
    missing -= 1
    return missing == 0
  }

  /// The bytes that a packet carries.
  @inline(__always)
  func range(of packet: Int) -> Range<Int> {
    packets == 1 ? 0..<size : WireFormat.packetRange(packet, of: size, size: packetSize)
  }

  @inline(__always)
  func isAcknowledged(_ packet: Int) -> Bool {
    guard packets > 1 else { return missing == 0 }
    return acknowledged[packet / 64] >> UInt64(packet % 64) & 1 != 0
  }

  /// What the receiver counts at most while it holds the message, in part or behind another one; 0
  /// if it never does.
  @inline(__always)
  var holdCost: Int {
    if packets > 1 {
      return size + Reassembly.messageOverhead + packets * Reassembly.pieceOverhead
    }
    return options.channel == 0 ? 0 : size + ChannelInbox.overhead
  }
}

/// The messages of the outboxes of all connections of a box, in slots that are used again, so that
/// nothing is allocated for a small one in the long run.
final class OutboxPool {
  /// Free slots that keep memory for a payload.
  private static let sparePayloads = 2048
  /// With at most so many slots they are kept when all are free.
  private static let keptSlots = 4096

  /// By slot. Their fields are used in place: a copy of a whole message would count references.
  var messages: [OutboxMessage] = []
  private var free: [UInt32] = []

  /// Messages that were taken and not given back.
  var inUse: Int { messages.count - free.count }

  /// The slot of a message that is still to be set.
  func take() -> Int {
    if let slot = free.popLast() { return Int(slot) }
    messages.append(OutboxMessage())
    return messages.count - 1
  }

  /// Takes back a message that is done.
  func giveBack(_ slot: Int) {
    messages[slot].clear(keepsMemory: free.count < Self.sparePayloads)
    free.append(UInt32(truncatingIfNeeded: slot))
    guard free.count == messages.count, messages.count > Self.keptSlots else { return }
    messages = []
    free = []
  }
}

/// What has become of a message of the outbox.
struct Outcome {
  /// `ok` if it was acknowledged.
  var status: Status
  var options: SendOptions
}

/// What an outbox has put into a datagram.
struct Filling {
  /// There is a packet in it.
  var hasAny = false
  /// Something waits that only wants room: the datagram was full before.
  var hasMore = false
}
