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
  private var prefix: [UInt8] = []
  /// Packets in `prefix`.
  private var prefixCount: UInt16 = 0
  /// By packet id.
  private var pieces: [UInt16: [UInt8]] = [:]
  /// Bytes held, with the overhead of each piece.
  private(set) var heldBytes = 0
  /// When it got its last new fragment.
  var progressAt: Instant
  var links = SlotLinks()

  static var vacant: IncompleteMessage {
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
    packetID < prefixCount || !pieces.isEmpty && pieces[packetID] != nil
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
    // What is not known is at least as long as the last one, which has a byte or more.
    let least = Int(numPackets - 1) * (size ?? lastSize ?? 1) + (lastSize ?? 1)
    return least > largest ? .tooBig : nil
  }

  /// Takes the payload of a fragment against which there is no objection.
  mutating func take(_ fragment: Fragment, _ payload: Span<UInt8>) {
    if fragment.isLast { lastSize = fragment.count } else { size = fragment.count }
    heldBytes += cost(of: fragment)
    guard fragment.packetID == prefixCount else {
      var piece: [UInt8] = []
      piece.append(bytes: payload)
      pieces[fragment.packetID] = piece
      return
    }
    prefix.append(bytes: payload)
    prefixCount += 1
    while !pieces.isEmpty, let piece = pieces.removeValue(forKey: prefixCount) {
      prefix.append(contentsOf: piece)
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
