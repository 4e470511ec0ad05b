/// A packet that carries a message, but for its payload.
package struct MessageHead: Equatable, Sendable {
  package var kind: PacketKind
  package var replyID: UInt16
  /// Nil leaves the fragment block out.
  package var messageID: UInt32?

  package init(kind: PacketKind, replyID: UInt16 = 0, messageID: UInt32? = nil) {
    self.kind = kind
    self.replyID = replyID
    self.messageID = messageID
  }

  fileprivate var flags: PacketHeader.Flags { messageID == nil ? [] : .fragment }
  package var blockSize: Int { messageID == nil ? 0 : WireFormat.messageIDSize }

  package func header(adding flags: PacketHeader.Flags) -> PacketHeader {
    PacketHeader(kind: kind, flags: self.flags.union(flags), replyID: replyID)
  }
}

/// Packs the packets of one session into a datagram of at most 1200 bytes.
///
/// Each packet is written with its length; `seal` takes it out of the last one, whose body runs to
/// the end.
package struct DatagramBuilder: Sendable {
  private var bytes: [UInt8]
  /// Where the length field of the last packet is, if it has one.
  private var lastLength: Int?
  private var lastHeader = 0

  /// `buffer` is emptied and its capacity used.
  package init(buffer: [UInt8]) {
    bytes = buffer
    bytes.removeAll(keepingCapacity: true)
  }

  package var isEmpty: Bool { bytes.isEmpty }

  /// Appends a packet, if it fits. `session` nil leaves the session field out of the first packet.
  package mutating func append(_ head: MessageHead, session: UInt64?, payload: Span<UInt8>) -> Bool
  {
    let body = head.blockSize + payload.count
    let start = PacketHeader.size + (isEmpty && session != nil ? WireFormat.sessionSize : 0)
    let room = WireFormat.maxDatagram - bytes.count - start - body
    guard room >= 0, isEmpty || lastLength != nil else { return false }
    let hasLength = room >= WireFormat.lengthSize
    beginPacket(head.header(adding: hasLength ? .length : []), session: session)
    if hasLength {
      lastLength = bytes.count
      bytes.append(bigEndian: UInt16(truncatingIfNeeded: body))
    } else {
      lastLength = nil
    }
    if let messageID = head.messageID { bytes.append(bigEndian: messageID) }
    bytes.append(bytes: payload)
    return true
  }

  /// Appends a close or heartbeat behind the messages, if it fits. The datagram is not empty.
  package mutating func appendControl(_ packet: ControlPacket) -> Bool {
    guard lastLength != nil, bytes.count + PacketHeader.size <= WireFormat.maxDatagram else {
      return false
    }
    lastLength = nil
    packet.append(to: &bytes, session: nil)
    return true
  }

  /// The finished datagram; the builder is empty afterwards.
  package mutating func seal() -> [UInt8] {
    if let lastLength {
      bytes.removeSubrange(lastLength..<lastLength + WireFormat.lengthSize)
      bytes[lastHeader] &= ~UInt8(PacketHeader.Flags.length.rawValue >> 8)
    }
    var datagram: [UInt8] = []
    swap(&datagram, &bytes)
    lastLength = nil
    return datagram
  }

  private mutating func beginPacket(_ header: PacketHeader, session: UInt64?) {
    lastHeader = bytes.count
    var header = header
    if let session, isEmpty {
      header.flags.insert(.session)
      header.append(to: &bytes)
      bytes.append(bigEndian: session)
    } else {
      header.append(to: &bytes)
    }
  }
}
