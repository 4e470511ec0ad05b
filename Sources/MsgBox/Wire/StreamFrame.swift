/// A packet on a stream: a u32 length of what follows, big-endian, then the packet.
///
///     +----------+--------+-----------+------+-----------+---------+-------------+-----------+
///     | length 4 | header | session 8 | id 4 | channel 1 | place 4 | options 2.. |  payload  |
///     +----------+--------+-----------+------+-----------+---------+-------------+-----------+
///                         hello, accept  if F   if kind reliable         if O
package enum StreamFrame {
  package static func append(
    _ head: MessageHead, payload: Span<UInt8>, to bytes: inout [UInt8]
  ) {
    let length = PacketHeader.size + head.blockSize + payload.count
    bytes.append(bigEndian: UInt32(truncatingIfNeeded: length))
    head.header(adding: []).append(to: &bytes)
    head.appendBlock(to: &bytes)
    bytes.append(bytes: payload)
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
    let start = bytes.count
    bytes.append(bigEndian: UInt32(0))
    packet.append(to: &bytes, session: session)
    let length = UInt32(truncatingIfNeeded: bytes.count - start - WireFormat.frameLengthSize)
    for index in 0..<WireFormat.frameLengthSize {
      bytes[start + index] = UInt8(truncatingIfNeeded: length >> UInt32(24 - 8 * index))
    }
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
