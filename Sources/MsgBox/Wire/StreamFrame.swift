/// A packet on a stream: a u32 length of what follows, big-endian, then the packet.
///
///     +----------+--------+-----------+------+-----------+---------+-------------+-----------+
///     | length 4 | header | session 8 | id 4 | channel 1 | place 4 | options 2.. |  payload  |
///     +----------+--------+-----------+------+-----------+---------+-------------+-----------+
///                         hello, accept  if F   if kind reliable         if O
package enum StreamFrame {
  /// Bytes of the frame of a message in front of its payload.
  @inline(__always)
  package static func overhead(_ head: MessageHead) -> Int {
    WireFormat.frameLengthSize &+ PacketHeader.size &+ head.blockSize
  }

  @inline(__always)
  package static func append(
    _ head: MessageHead, payload: Span<UInt8>, to bytes: inout [UInt8]
  ) {
    append(head, payloadCount: payload.count, adding: payload, to: &bytes)
  }

  /// Appends a frame but for its payload of `payloadCount` bytes, which is to follow.
  package static func append(_ head: MessageHead, payloadCount: Int, to bytes: inout [UInt8]) {
    append(head, payloadCount: payloadCount, adding: Span(), to: &bytes)
  }

  @inline(__always)
  private static func append(
    _ head: MessageHead, payloadCount: Int, adding payload: Span<UInt8>, to bytes: inout [UInt8]
  ) {
    let overhead = overhead(head)
    let word = head.header(adding: []).word
    let length = overhead &- WireFormat.frameLengthSize &+ payloadCount
    bytes.append(addingCapacity: overhead &+ payload.count) { room in
      // There is room for what is stored, and no pointer leaves its closure.
      unsafe room.withUnsafeMutableBufferPointer { target, count in
        let target = UnsafeMutableRawBufferPointer(target)
        unsafe target.storeBytes(of: UInt32(truncatingIfNeeded: length).bigEndian, as: UInt32.self)
        unsafe target.storeBytes(of: word.bigEndian, toByteOffset: 4, as: UInt64.self)
        if let messageID = head.messageID {
          unsafe target.storeBytes(of: messageID.bigEndian, toByteOffset: 12, as: UInt32.self)
          if let place = head.place {
            unsafe target.storeBytes(of: place.channel, toByteOffset: 16, as: UInt8.self)
            unsafe target.storeBytes(of: place.place.bigEndian, toByteOffset: 17, as: UInt32.self)
          }
        }
        if !payload.isEmpty {
          unsafe payload.withUnsafeBytes { source in
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: target[overhead...])
            unsafe rest.copyMemory(from: source)
          }
        }
        count = overhead &+ payload.count
      }
    }
  }

  /// An ack: `ackCount` is how many reliable frames have been received in this session, modulo
  /// 2^32.
  package static func append(ackCount: UInt32, to bytes: inout [UInt8]) {
    let length = PacketHeader.size + StreamAck.size
    bytes.append(bigEndian: UInt32(truncatingIfNeeded: length))
    PacketHeader(kind: .ack).append(to: &bytes)
    StreamAck(count: ackCount).append(to: &bytes)
  }

  package static func append(
    _ packet: ControlPacket, session: UInt64?, to bytes: inout [UInt8]
  ) {
    let lengthSize = WireFormat.frameLengthSize
    bytes.append(atMost: lengthSize + ControlPacket.mostBytes) { room, offset in
      offset = lengthSize
      packet.write(to: &room, at: &offset, session: session)
      var start = 0
      room.put(UInt32(truncatingIfNeeded: offset - lengthSize), at: &start)
    }
  }
}

/// A whole frame at the front of bytes that holds a one-way message, a request or a reply, and
/// nothing out of the ordinary: no options, one packet.
package struct PlainFrame {
  package var kind: PacketKind
  package var replyID: UInt16
  /// Nil of a one-way message.
  package var messageID: UInt32?
  /// Bytes in front of the payload.
  package var overhead: Int
  /// Bytes of the payload.
  package var count: Int

  /// The first 48 bits of a header: type, one packet, number 0.
  private static let oneWay = front(.oneWay, [])
  private static let request = front(.request, .fragment)
  private static let reply = front(.reply, .fragment)

  private static func front(_ kind: PacketKind, _ flags: PacketHeader.Flags) -> UInt64 {
    UInt64(PacketHeader(kind: kind, flags: flags).messageType) << 32 | 1 << 16
  }

  /// Reads the frame at `offset`; nil if it is not whole, not plain, or has a payload of more than
  /// `maxMessage` bytes: then it is to be read step by step.
  @inline(__always)
  package init?(_ bytes: Span<UInt8>, at offset: Int, maxMessage: Int) {
    let rest = bytes.count - offset
    guard rest >= 12 else { return nil }
    // Twelve bytes are there, so both numbers are.
    let raw = unsafe bytes.bytes
    let length = unsafe Int(
      raw.unsafeLoadUnaligned(
        fromUncheckedByteOffset: offset, as: UInt32.self
      ).bigEndian)
    let header = unsafe raw.unsafeLoadUnaligned(
      fromUncheckedByteOffset: offset + 4, as: UInt64.self
    ).bigEndian
    guard length >= PacketHeader.size, length <= rest - WireFormat.frameLengthSize else {
      return nil
    }
    count = length - PacketHeader.size
    replyID = UInt16(truncatingIfNeeded: header)
    overhead = 12
    switch header >> 16 {
    case Self.oneWay:
      kind = .oneWay
    case Self.request, Self.reply:
      guard count >= 4 else { return nil }
      kind = header >> 16 == Self.request ? .request : .reply
      messageID = unsafe raw.unsafeLoadUnaligned(
        fromUncheckedByteOffset: offset + 12, as: UInt32.self
      ).bigEndian
      overhead = 16
      count -= 4
    default:
      return nil
    }
    guard count <= maxMessage else { return nil }
  }
}

/// The fixed fields at the front of a frame.
package struct FrameHead: Equatable, Sendable {
  /// Bytes of the frame behind this head: options and payload.
  package var rest: Int
  package var header: PacketHeader
  package var session: UInt64?
  package var messageID: UInt32?
  /// Of kind reliable, and of no other.
  package var place: ChannelPlace?

  /// The bytes of length, header, session id, message id, channel and place that a frame with
  /// these first bytes has, as far as they tell: 12 until the header is there.
  package static func size(_ bytes: Span<UInt8>) -> Int {
    var size = WireFormat.frameLengthSize + PacketHeader.size
    guard let type = bytes.bigEndian(UInt16.self, at: WireFormat.frameLengthSize) else {
      return size
    }
    let flags = PacketHeader.Flags(rawValue: type)
    if flags.contains(.session) { size += WireFormat.sessionSize }
    if flags.contains(.fragment) {
      size += WireFormat.messageIDSize
      if UInt8(truncatingIfNeeded: type) == PacketKind.reliable.rawValue {
        size += WireFormat.channelPlaceSize
      }
    }
    return size
  }

  /// The length field is judged as soon as its four bytes are there; nil if they are not.
  package static func checkLength(_ bytes: Span<UInt8>, maxMessage: Int) -> Bool? {
    guard let length = bytes.bigEndian(UInt32.self, at: 0) else { return nil }
    return length >= UInt32(PacketHeader.size)
      && length <= UInt32(clamping: maxMessage + WireFormat.frameOverhead)
  }

  /// Reads a head whose `size` bytes are all there. A failure breaks the stream.
  package init(_ bytes: Span<UInt8>) throws(DropReason) {
    guard let length = bytes.bigEndian(UInt32.self, at: 0) else { throw .short }
    header = try PacketHeader(bytes, at: WireFormat.frameLengthSize)
    guard header.numPackets == 1, !header.flags.contains(.length) else { throw .malformed }
    var cursor = WireFormat.frameLengthSize + PacketHeader.size
    if header.flags.contains(.session) {
      guard let number = bytes.bigEndian(UInt64.self, at: cursor) else { throw .short }
      session = number
      cursor += WireFormat.sessionSize
    }
    if header.flags.contains(.fragment) {
      guard let number = bytes.bigEndian(UInt32.self, at: cursor) else { throw .short }
      messageID = number
      cursor += WireFormat.messageIDSize
    }
    if header.kind == PacketKind.reliable.rawValue {
      guard messageID != nil else { throw .malformed }
      guard let place = ChannelPlace(bytes, at: cursor) else { throw .short }
      self.place = place
      cursor += WireFormat.channelPlaceSize
    }
    rest = Int(length) + WireFormat.frameLengthSize - cursor
    guard rest >= 0 else { throw .malformed }
  }
}
