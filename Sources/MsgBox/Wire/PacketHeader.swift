/// What a packet is for: bits 7-0 of message_type.
package enum PacketKind: UInt8, CaseIterable, Sendable {
  case oneWay = 0
  case request = 1
  case reply = 2
  case heartbeat = 3
  case close = 4
  case hello = 5
  case accept = 6
  /// What a hello is answered with before anything is kept of it.
  case cookie = 7
  case pathChallenge = 8
  case pathResponse = 9
  /// Which numbered datagrams, on a stream how many reliable frames, have been received.
  case ack = 11
  /// The number of the datagram that it begins, whose receiver is to acknowledge it.
  case datagramNumber = 14
  /// A one-way message that is sent until it is acknowledged.
  case reliable = 15

  /// Alone in its datagram and without a length, so that one datagram causes at most one answer.
  package var isSolitary: Bool {
    switch self {
    case .hello, .accept, .cookie, .pathChallenge, .pathResponse: true
    case .oneWay, .request, .reply, .heartbeat, .close, .ack, .datagramNumber, .reliable: false
    }
  }

  /// Nothing comes before it in its datagram.
  package var isLeading: Bool { self == .datagramNumber || isSolitary }
}

/// The first 8 bytes of every packet: four unsigned 16-bit numbers, big-endian.
///
///      0                   1                   2                   3
///      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///     +---+---+-+-+-+-+---------------+-------------------------------+
///     |1 1|ver|S|L|F|O|     kind      |          num_packets          |
///     +---+---+-+-+-+-+---------------+-------------------------------+
///     |           packet_id           |           reply_id            |
///     +-------------------------------+-------------------------------+
package struct PacketHeader: Equatable, Sendable {
  package static let size = 8

  /// The fields that follow the header.
  package struct Flags: OptionSet, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
      self.rawValue = rawValue
    }

    /// S: 8 bytes, the receiver's session id.
    package static let session = Flags(rawValue: 1 << 11)
    /// L: 2 bytes, the length of the body; without it the body runs to the end.
    package static let length = Flags(rawValue: 1 << 10)
    /// F: 4 bytes at the front of the body, the message id.
    package static let fragment = Flags(rawValue: 1 << 9)
    /// O: options at the front of the body, behind F.
    package static let options = Flags(rawValue: 1 << 8)
  }

  /// Bits 7-0 as they came; `PacketKind` has the known ones.
  package var kind: UInt8
  package var flags: Flags
  package var numPackets: UInt16
  package var packetID: UInt16
  package var replyID: UInt16

  package init(
    kind: PacketKind, flags: Flags = [], numPackets: UInt16 = 1, packetID: UInt16 = 0,
    replyID: UInt16 = 0
  ) {
    self.kind = kind.rawValue
    self.flags = flags
    self.numPackets = numPackets
    self.packetID = packetID
    self.replyID = replyID
  }

  /// Reads the 8 bytes at `offset`; a failure is the reason to drop the packet.
  package init(_ bytes: Span<UInt8>, at offset: Int) throws(DropReason) {
    guard let messageType = bytes.bigEndian(UInt16.self, at: offset) else { throw .short }
    guard messageType >> 14 == WireFormat.magic else { throw .notMsgBox }
    guard messageType >> 12 & 0b11 == WireFormat.version else { throw .version }
    guard let word = bytes.bigEndian(UInt64.self, at: offset) else { throw .short }
    self.init(word)
    guard packetID < numPackets else { throw .malformed }
  }

  /// The header of which `word` is the 8 bytes, the first of them uppermost.
  @inline(__always)
  init(_ word: UInt64) {
    kind = UInt8(truncatingIfNeeded: word >> 48)
    flags = Flags(rawValue: UInt16(truncatingIfNeeded: word >> 48) & 0x0f00)
    numPackets = UInt16(truncatingIfNeeded: word >> 32)
    packetID = UInt16(truncatingIfNeeded: word >> 16)
    replyID = UInt16(truncatingIfNeeded: word)
  }

  /// The kind of the message that a header begins which has no options and belongs to a message of
  /// one packet, with a session as `hasSession` says: most are of that shape. Nil if it is of any
  /// other.
  @inline(__always)
  static func wholeMessage(_ word: UInt64, hasSession: Bool) -> PacketKind? {
    guard word >> 16 & 0xffff_ffff == 1 << 16 else { return nil }
    let session = hasSession ? Flags.session.rawValue : 0
    let first = WireFormat.magic << 14 | WireFormat.version << 12 | session
    let optional = Flags.length.rawValue | Flags.fragment.rawValue
    let kind = (UInt16(truncatingIfNeeded: word >> 48) & ~optional) ^ first
    // A few comparisons are cheaper here than a jump by a table.
    if kind == UInt16(PacketKind.oneWay.rawValue) { return .oneWay }
    if kind == UInt16(PacketKind.request.rawValue) { return .request }
    if kind == UInt16(PacketKind.reply.rawValue) { return .reply }
    return kind == UInt16(PacketKind.reliable.rawValue) ? .reliable : nil
  }

  /// Whether a header begins a one-way message of one packet without session, message id and
  /// options.
  @inline(__always)
  static func isOneWay(_ word: UInt64) -> Bool {
    front(word) == front(PacketHeader(kind: .oneWay).word)
  }

  /// Of a header that begins a request or a reply of one packet with a message id, and without
  /// session and options, whether it is a request. Nil of any other.
  @inline(__always)
  static func isNumberedRequest(_ word: UInt64) -> Bool? {
    if front(word) == front(PacketHeader(kind: .request, flags: .fragment).word) { return true }
    return front(word) == front(PacketHeader(kind: .reply, flags: .fragment).word) ? false : nil
  }

  /// The first 48 bits of a header: all but its reply id; and without the length flag.
  @inline(__always)
  private static func front(_ word: UInt64) -> UInt64 {
    (word & ~(UInt64(Flags.length.rawValue) << 48)) >> 16
  }

  /// Of a close: why. A number that is not known is taken for the plain reason.
  package var closeReason: CloseReason { CloseReason(rawValue: replyID) ?? .normal }

  /// Whether nothing can be done with this packet unless it has F: a reliable message is known by
  /// its id, and so is what a fragment belongs to.
  package func needsMessageID(_ kind: PacketKind) -> Bool { numPackets != 1 || kind == .reliable }

  package var messageType: UInt16 {
    WireFormat.magic << 14 | WireFormat.version << 12 | flags.rawValue | UInt16(kind)
  }

  /// The four numbers as one of 64 bits.
  var word: UInt64 {
    UInt64(messageType) << 48 | UInt64(numPackets) << 32 | UInt64(packetID) << 16
      | UInt64(replyID)
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.append(bigEndian: word)
  }
}
