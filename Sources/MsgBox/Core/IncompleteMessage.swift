/// What one packet says of its place in a message, and the length of its payload.
struct Fragment {
  var replyID: UInt16
  var numPackets: UInt16
  var packetID: UInt16
  var count: Int

  var isLast: Bool { packetID == numPackets &- 1 }
}

/// A message of which some packets are received.
///
/// The packets from the first one on lie in one array, which becomes the message. Those behind a
/// missing one are kept apart until it comes.
struct IncompleteMessage: Vacant, Linked {
  private(set) var key: FragmentKey
  private let replyID: UInt16
  private let numPackets: UInt16
  /// The payload of every packet but the last, in bytes; nil until one of them was received.
  private var size: Int?
  /// The same of the last packet.
  private var lastSize: Int?
  /// The least that the message can have by what is known, in bytes.
  private var leastBytes = 0
  private var prefix: [UInt8] = []
  /// Packets in `prefix`.
  private var prefixCount: UInt16 = 0
  private var pieces = WaitingPieces()
  /// Bytes held, with the overhead of each piece.
  private(set) var heldBytes = 0
  /// When it got its last new fragment.
  var progressAt: Instant
  var links = SlotLinks()

  static func vacant() -> IncompleteMessage {
    IncompleteMessage(
      FragmentKey(kind: .heartbeat, messageID: 0),
      Fragment(replyID: 0, numPackets: 0, packetID: 0, count: 0), at: Instant(nanoseconds: 0))
  }

  /// As `first` describes it; nothing is taken yet.
  init(_ key: FragmentKey, _ first: Fragment, at now: Instant) {
    self.key = key
    replyID = first.replyID
    numPackets = first.numPackets
    progressAt = now
  }

  var isComplete: Bool { prefixCount == numPackets }

  func has(_ packetID: UInt16) -> Bool {
    packetID < prefixCount || pieces.contains(packetID)
  }

  /// Whether a fragment describes this message and has the length that its place asks for.
  func matches(_ fragment: Fragment) -> Bool {
    guard fragment.replyID == replyID, fragment.numPackets == numPackets else { return false }
    return fragment.count == (fragment.isLast ? lastSize : size)
  }

  /// Whether it is the only one missing.
  func isCompleted(by fragment: Fragment) -> Bool {
    Int(prefixCount) + pieces.count + 1 == Int(numPackets)
  }

  /// By how much `heldBytes` grows with a fragment, if no piece waits for it.
  func cost(of fragment: Fragment) -> Int {
    fragment.count + (fragment.packetID == prefixCount ? 0 : Reassembly.pieceOverhead)
  }

  /// Whether a fragment is the next one, not the last, and just as those before it: then nothing
  /// can be said against it that could not be said before.
  func isContinued(by fragment: Fragment, largest: Int) -> Bool {
    fragment.packetID == prefixCount && !fragment.isLast && pieces.isEmpty
      && fragment.count == size && fragment.replyID == replyID
      && fragment.numPackets == numPackets && leastBytes <= largest
  }

  /// Why a fragment must not be taken: it contradicts the ones before it, or the message would be
  /// larger than `largest` bytes.
  func objection(to fragment: Fragment, largest: Int) -> DropReason? {
    guard numPackets >= 2, fragment.packetID < numPackets, fragment.count >= 1,
      fragment.replyID == replyID, fragment.numPackets == numPackets,
      !has(fragment.packetID)
    else { return .fragment }
    let size = fragment.isLast ? size : fragment.count
    let lastSize = fragment.isLast ? fragment.count : lastSize
    if let size, let known = self.size, size != known { return .fragment }
    if let size, let lastSize, lastSize > size { return .fragment }
    return leastBytes(size, lastSize) > largest ? .tooBig : nil
  }

  /// What is not known is at least as long as the last one, which has a byte or more.
  private func leastBytes(_ size: Int?, _ lastSize: Int?) -> Int {
    (Int(numPackets) - 1) * (size ?? lastSize ?? 1) + (lastSize ?? 1)
  }

  /// Takes the payload of a fragment against which there is no objection. Memory comes from
  /// `buffers`.
  mutating func take(
    _ fragment: Fragment, _ payload: Span<UInt8>, _ buffers: inout LargeBuffers
  ) {
    if fragment.isLast { lastSize = fragment.count } else { size = fragment.count }
    leastBytes = leastBytes(size, lastSize)
    heldBytes += cost(of: fragment)
    guard fragment.packetID == prefixCount else {
      pieces.add(fragment.packetID, payload, &buffers)
      return
    }
    prefix.append(payload, &buffers)
    prefixCount += 1
    while !pieces.isEmpty, pieces.move(prefixCount, to: &prefix, &buffers) {
      prefixCount += 1
      heldBytes -= Reassembly.pieceOverhead
    }
  }

  /// The whole message, once it is complete; nothing is held then.
  mutating func takeBytes() -> [UInt8] {
    var bytes: [UInt8] = []
    swap(&bytes, &prefix)
    heldBytes = 0
    return bytes
  }
}

/// Pieces of a message that wait for one before them: one behind the other as they came, so that
/// they take the bytes that they have and not those between them.
struct WaitingPieces {
  private var bytes: [UInt8] = []
  /// Where each lies in `bytes`, by packet id.
  private var ranges: [UInt16: Range<Int>] = [:]

  var isEmpty: Bool { ranges.isEmpty }
  var count: Int { ranges.count }

  func contains(_ packetID: UInt16) -> Bool {
    !ranges.isEmpty && ranges[packetID] != nil
  }

  mutating func add(_ packetID: UInt16, _ piece: Span<UInt8>, _ buffers: inout LargeBuffers) {
    ranges[packetID] = bytes.count..<bytes.count + piece.count
    bytes.append(piece, &buffers)
  }

  /// Moves a piece to the end of `target`; false if it is not there. What the pieces had is given
  /// back with the last of them: until then it is at most what the message has in all.
  mutating func move(
    _ packetID: UInt16, to target: inout [UInt8], _ buffers: inout LargeBuffers
  ) -> Bool {
    guard let range = ranges.removeValue(forKey: packetID) else { return false }
    target.append(bytes.span.extracting(range), &buffers)
    guard ranges.isEmpty else { return true }
    ranges = [:]
    var emptied: [UInt8] = []
    swap(&emptied, &bytes)
    buffers.give(emptied)
    return true
  }
}

extension [UInt8] {
  /// Appends a copy of borrowed bytes. Without room for them what is there moves, in one block, into
  /// two to four times as much memory: of `buffers`, or new.
  mutating func append(_ more: Span<UInt8>, _ buffers: inout LargeBuffers) {
    if capacity - count < more.count {
      let needed = count + more.count
      let least = Swift.max(capacity * 2, needed)
      var larger: [UInt8] = []
      if let buffer = buffers.take(of: least...needed * 4) {
        larger = buffer
      } else {
        larger.reserveCapacity(least)
      }
      larger.append(bytes: span)
      swap(&larger, &self)
      buffers.give(larger)
    }
    append(bytes: more)
  }
}
