/// A message that must arrive, from its acceptance until every packet of it is acknowledged.
final class OutboxMessage {
  enum State {
    case waiting
    /// A packet of it was sent.
    case begun
    /// Acknowledged, or given up.
    case done
  }

  /// A payload of at most so many bytes leaves its memory to the next message.
  private static let keptCapacity = 2048

  var head = MessageHead(kind: .reliable)
  private(set) var bytes: [UInt8] = []
  /// Nobody else has `bytes`.
  private var ownsBytes = true
  /// Bytes of the message, also when `bytes` are gone.
  private(set) var size = 0
  var options = SendOptions()
  var deadline = Instant.never
  /// The index of its lane.
  var lane = 0
  var state = State.waiting
  /// Payload bytes of each packet but the last.
  private var packetSize = 1
  private(set) var packets = 1
  /// The first packet that was never sent.
  var nextPacket = 0
  /// Packets that are not acknowledged.
  private(set) var missing = 1
  /// One bit for each packet that is acknowledged, if there is more than one.
  private var acknowledged: [UInt64] = []

  /// Takes the payload in: `shared` as it is, if there is such an array, else a copy of `payload`.
  func set(_ payload: Span<UInt8>, _ shared: [UInt8]?, packetSize: Int) {
    if let shared {
      bytes = shared
      ownsBytes = false
    } else {
      if !ownsBytes { bytes = [] }
      ownsBytes = true
      bytes.removeAll(keepingCapacity: true)
      bytes.reserveCapacity(payload.count)
      bytes.append(bytes: payload)
    }
    size = payload.count
    self.packetSize = packetSize
    packets = Int(WireFormat.packetCount(size, size: packetSize))
    missing = packets
    nextPacket = 0
    let words = packets == 1 ? 0 : (packets + 63) / 64
    acknowledged.removeAll(keepingCapacity: words <= 16)
    for _ in 0..<words { acknowledged.append(0) }
  }

  /// The payload is needed no more.
  func clear(keepsMemory: Bool = true) {
    if keepsMemory, ownsBytes, bytes.capacity <= Self.keptCapacity {
      bytes.removeAll(keepingCapacity: true)
    } else {
      bytes = []
      ownsBytes = true
    }
  }

  /// The bytes that a packet carries.
  func range(of packet: Int) -> Range<Int> {
    WireFormat.packetRange(packet, of: size, size: packetSize)
  }

  func isAcknowledged(_ packet: Int) -> Bool {
    guard packets > 1 else { return missing == 0 }
    return acknowledged[packet / 64] >> UInt64(packet % 64) & 1 != 0
  }

  func acknowledge(_ packet: Int) {
    if packets > 1 { acknowledged[packet / 64] |= 1 << UInt64(packet % 64) }
    missing -= 1
  }

  /// What the receiver counts at most while it holds the message, in part or behind another one; 0
  /// if it never does.
  var holdCost: Int {
    if packets > 1 {
      return size + Reassembly.messageOverhead + packets * Reassembly.pieceOverhead
    }
    return options.channel == 0 ? 0 : size + ChannelInbox.overhead
  }
}

/// Messages that are done, for the next ones of all connections of a box, so that nothing is
/// allocated for a small one in the long run.
final class OutboxPool {
  private static let capacity = 1024

  private var spare: [OutboxMessage] = []
  /// Messages that were taken and not given back.
  private(set) var inUse = 0

  func take() -> OutboxMessage {
    inUse += 1
    return spare.popLast() ?? OutboxMessage()
  }

  func giveBack(_ message: OutboxMessage) {
    inUse -= 1
    if spare.count < Self.capacity { spare.append(message) }
  }
}

/// What has become of a message of the outbox.
struct Outcome {
  /// `ok` if it was acknowledged.
  var status: Status
  var bytes: Int
  var options: SendOptions
}

/// What an outbox has put into a datagram.
struct Filling {
  /// There is a packet in it.
  var hasAny = false
  /// Something waits that only wants room: the datagram was full before.
  var hasMore = false
}
