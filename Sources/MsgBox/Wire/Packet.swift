/// One packet, parsed: the header, the fields it announces, and where its payload lies.
///
///     +--------+-----------+----------+------+-----------+---------+-------------+-----------+
///     | header | session 8 | length 2 | id 4 | channel 1 | place 4 | options 2.. |  payload  |
///     +--------+-----------+----------+------+-----------+---------+-------------+-----------+
///                  if S        if L     if F    if kind reliable        if O
///                                     '---------------------- body -------------------------'
package struct Packet: Equatable, Sendable {
  package var kind: PacketKind
  package var header: PacketHeader
  package var session: UInt64?
  package var messageID: UInt32?
  /// Of kind reliable, and of no other.
  package var place: ChannelPlace?
  package var payload: Range<Int>

  /// Of kind datagramNumber: the number; nil if the body is too short.
  package func datagramNumber(_ datagram: Span<UInt8>) -> UInt32? {
    guard payload.count >= WireFormat.datagramNumberSize else { return nil }
    return datagram.bigEndian(UInt32.self, at: payload.lowerBound)
  }
}

/// Where a reliable message belongs: its channel, and how many came before it there.
package struct ChannelPlace: Equatable, Sendable {
  /// 0 is unordered, 1...255 are ordered each in itself.
  package var channel: UInt8
  /// From 0, per channel, session and direction; wraps at 2^32.
  package var place: UInt32

  package init(channel: UInt8, place: UInt32) {
    self.channel = channel
    self.place = place
  }

  /// The 5 bytes at `offset`; nil if they do not lie within the bytes.
  package init?(_ bytes: Span<UInt8>, at offset: Int) {
    guard let channel = bytes.bigEndian(UInt8.self, at: offset),
      let place = bytes.bigEndian(UInt32.self, at: offset + 1)
    else { return nil }
    self.init(channel: channel, place: place)
  }
}

/// A request or a reply of one packet.
package struct NumberedPacket: Equatable, Sendable {
  /// Or a reply.
  package var isRequest: Bool
  package var replyID: UInt16
  package var messageID: UInt32
  package var payload: Range<Int>
}

/// What comes next in a datagram.
package enum PacketStep: Equatable, Sendable {
  case packet(Packet)
  /// This packet is passed over; what follows it is still good. `session` is its session field, if
  /// it has one.
  case skip(DropReason, session: UInt64?)
  /// The rest of the datagram is dropped.
  case drop(DropReason)
  case end
}

/// Walks over the packets of a datagram. Bounded by its bytes: each step but the last consumes at
/// least 8.
package struct PacketParser: Sendable {
  private var offset = 0
  private var isFirst = true

  package init() {}

  package mutating func next(_ datagram: Span<UInt8>) -> PacketStep {
    guard offset < datagram.count || isFirst else { return .end }
    do throws(DropReason) {
      let packet = try parse(datagram)
      isFirst = false
      return packet
    } catch {
      offset = datagram.count
      isFirst = false
      return .drop(error)
    }
  }

  /// Whether every byte of the datagram was consumed.
  @inline(__always)
  package func isAtEnd(_ datagram: Span<UInt8>) -> Bool { offset >= datagram.count }

  /// Where the payload of the next packet is, not the first, if that is the plainest of all: a
  /// one-way message of one packet with nothing but perhaps a length. Nil, and it still comes next,
  /// if it is any other, bad, or not there.
  @inline(__always)
  package mutating func nextOneWay(_ datagram: Span<UInt8>) -> Range<Int>? {
    guard let word = datagram.bigEndian(UInt64.self, at: offset), PacketHeader.isOneWay(word),
      let body = body(behind: word, datagram)
    else { return nil }
    offset = body.upperBound
    return body
  }

  /// Where the body of the next packet is, not the first, whose header is `word` and has no fields but
  /// perhaps a length; nil if it goes beyond the end.
  @inline(__always)
  private func body(behind word: UInt64, _ datagram: Span<UInt8>) -> Range<Int>? {
    let start = offset &+ PacketHeader.size
    guard PacketHeader(word).flags.contains(.length) else { return start..<datagram.count }
    guard let length = datagram.bigEndian(UInt16.self, at: start) else { return nil }
    let end = start &+ WireFormat.lengthSize &+ Int(length)
    return end <= datagram.count ? start &+ WireFormat.lengthSize..<end : nil
  }

  /// The next packet, not the first, if it is a request or a reply as most are: of one packet, with a
  /// message id and with nothing else but perhaps a length. Nil, and it still comes next, if it is
  /// any other, bad, or not there.
  @inline(__always)
  package mutating func nextNumbered(_ datagram: Span<UInt8>) -> NumberedPacket? {
    guard let word = datagram.bigEndian(UInt64.self, at: offset),
      let isRequest = PacketHeader.isNumberedRequest(word),
      let body = body(behind: word, datagram),
      let messageID = datagram.bigEndian(UInt32.self, at: body.lowerBound),
      case let start = body.lowerBound &+ WireFormat.messageIDSize, start <= body.upperBound
    else { return nil }
    offset = body.upperBound
    return NumberedPacket(
      isRequest: isRequest, replyID: UInt16(truncatingIfNeeded: word), messageID: messageID,
      payload: start..<body.upperBound)
  }

  /// The next packet if it is of the shape of most: a message of one packet without options; the
  /// first with a session, the others without. Nil, and it still comes next, if it is of any other,
  /// bad, or not there.
  @inline(__always)
  package mutating func nextMessage(_ datagram: Span<UInt8>, isFirst: Bool = false) -> Packet? {
    guard let word = datagram.bigEndian(UInt64.self, at: offset),
      let kind = PacketHeader.wholeMessage(word, hasSession: isFirst)
    else { return nil }
    let header = PacketHeader(word)
    var cursor = offset + PacketHeader.size
    var session: UInt64?
    if isFirst {
      session = datagram.bigEndian(UInt64.self, at: cursor)
      cursor += WireFormat.sessionSize
    }
    var end = datagram.count
    if header.flags.contains(.length) {
      guard let length = datagram.bigEndian(UInt16.self, at: cursor) else { return nil }
      cursor += WireFormat.lengthSize
      end = cursor + Int(length)
      guard end <= datagram.count else { return nil }
    }
    var messageID: UInt32?
    if header.flags.contains(.fragment) {
      messageID = datagram.bigEndian(UInt32.self, at: cursor)
      cursor += WireFormat.messageIDSize
    }
    var place: ChannelPlace?
    if kind == .reliable {
      guard messageID != nil else { return nil }
      place = ChannelPlace(datagram, at: cursor)
      cursor += WireFormat.channelPlaceSize
    }
    // Whatever was read before lies within the body then.
    guard cursor <= end else { return nil }
    offset = end
    self.isFirst = false
    return Packet(
      kind: kind, header: header, session: session, messageID: messageID, place: place,
      payload: cursor..<end)
  }

  private mutating func parse(_ datagram: Span<UInt8>) throws(DropReason) -> PacketStep {
    let header = try PacketHeader(datagram, at: offset)
    var cursor = offset + PacketHeader.size
    var session: UInt64?
    if header.flags.contains(.session) {
      guard isFirst else { throw .malformed }
      guard let number = datagram.bigEndian(UInt64.self, at: cursor) else { throw .short }
      session = number
      cursor += WireFormat.sessionSize
    }
    var end = datagram.count
    if header.flags.contains(.length) {
      guard let length = datagram.bigEndian(UInt16.self, at: cursor) else { throw .short }
      cursor += WireFormat.lengthSize
      end = cursor + Int(length)
      guard end <= datagram.count else { throw .short }
    }
    guard let kind = PacketKind(rawValue: header.kind) else {
      guard header.flags.contains(.length) else { throw .kind }
      offset = end
      return .skip(.kind, session: session)
    }
    if kind.isLeading {
      guard isFirst, !kind.isSolitary || !header.flags.contains(.length) else { throw .malformed }
    }
    let body = try PacketBody(datagram, cursor..<end, kind, header)
    offset = end
    return .packet(
      Packet(
        kind: kind, header: header, session: session, messageID: body.messageID,
        place: body.place, payload: body.payload))
  }
}

/// The optional blocks at the front of a body, and the payload behind them.
package struct PacketBody: Equatable, Sendable {
  package var messageID: UInt32?
  package var place: ChannelPlace?
  package var payload: Range<Int>

  package init(
    _ bytes: Span<UInt8>, _ body: Range<Int>, _ kind: PacketKind, _ header: PacketHeader
  ) throws(DropReason) {
    var cursor = body.lowerBound
    if header.flags.contains(.fragment) {
      guard cursor + WireFormat.messageIDSize <= body.upperBound,
        let number = bytes.bigEndian(UInt32.self, at: cursor)
      else { throw .short }
      messageID = number
      cursor += WireFormat.messageIDSize
    } else if header.needsMessageID(kind) {
      throw .malformed
    }
    if kind == .reliable {
      guard cursor + WireFormat.channelPlaceSize <= body.upperBound,
        let place = ChannelPlace(bytes, at: cursor)
      else { throw .short }
      self.place = place
      cursor += WireFormat.channelPlaceSize
    }
    if header.flags.contains(.options) {
      cursor = try OptionBlock.end(bytes, cursor..<body.upperBound)
    }
    payload = cursor..<body.upperBound
  }
}

/// The option block: a u16 length, then values of {type u8, length u8, bytes}.
///
/// No option is defined yet for what this implementation does, so one whose type has the high bit 0
/// drops the packet, and one whose type has the high bit 1 is passed over.
package enum OptionBlock {
  /// The offset behind the block that begins where `range` does.
  package static func end(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(DropReason) -> Int {
    guard range.count >= 2, let length = bytes.bigEndian(UInt16.self, at: range.lowerBound) else {
      throw .short
    }
    var cursor = range.lowerBound + 2
    let end = cursor + Int(length)
    guard end <= range.upperBound else { throw .short }
    while cursor < end {
      guard cursor + 2 <= end else { throw .malformed }
      guard bytes[cursor] & 0x80 != 0 else { throw .option }
      cursor += 2 + Int(bytes[cursor + 1])
      guard cursor <= end else { throw .malformed }
    }
    return end
  }
}
