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

  /// The payload that one more packet without further fields could have as the last of this
  /// datagram, in bytes; 0 also if there is no room for the packet itself. The first packet is
  /// taken to have a session id.
  package var room: Int {
    let start = PacketHeader.size + (isEmpty ? WireFormat.sessionSize : 0)
    return isOpen ? max(WireFormat.maxDatagram - bytes.count - start, 0) : 0
  }

  /// The payload that a packet with this head could have as the last of this datagram, in bytes;
  /// nil if not even an empty one fits.
  package func room(for head: MessageHead, session: UInt64?) -> Int? {
    let room = room(behind: head.blockSize, session: session)
    return room >= 0 && isOpen ? room : nil
  }

  /// Begins a datagram whose receiver is to acknowledge it: its number comes first. Nothing
  /// happens if the datagram has begun.
  package mutating func beginNumbered(_ number: UInt32, session: UInt64?) {
    guard isEmpty else { return }
    _ = begin(
      PacketHeader(kind: .datagramNumber), body: WireFormat.datagramNumberSize, session: session)
    bytes.append(bigEndian: number)
  }

  /// Appends a packet, if it fits. `session` nil leaves the session field out of the first packet.
  package mutating func append(_ head: MessageHead, session: UInt64?, payload: Span<UInt8>) -> Bool
  {
    guard
      begin(head.header(adding: []), body: head.blockSize + payload.count, session: session)
    else { return false }
    head.appendBlock(to: &bytes)
    bytes.append(bytes: payload)
    return true
  }

  /// Appends an ack, if it fits. `session` nil leaves the session field out of the first packet.
  package mutating func append(ack: AckBody, session: UInt64?) -> Bool {
    guard begin(PacketHeader(kind: .ack), body: ack.size, session: session) else { return false }
    ack.append(to: &bytes)
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

  /// Whether a packet may come behind those that are there: the last one has a length.
  private var isOpen: Bool { isEmpty || lastLength != nil }

  /// The bytes that are left behind one more packet with a body of that size; negative if it does
  /// not fit.
  private func room(behind body: Int, session: UInt64?) -> Int {
    let start = PacketHeader.size + (isEmpty && session != nil ? WireFormat.sessionSize : 0)
    return WireFormat.maxDatagram - bytes.count - start - body
  }

  /// Writes header, session id and length of a packet whose body of that size is to follow; false,
  /// and nothing is written, if it does not fit.
  private mutating func begin(_ header: PacketHeader, body: Int, session: UInt64?) -> Bool {
    let room = room(behind: body, session: session)
    guard room >= 0, isOpen else { return false }
    var header = header
    let hasLength = room >= WireFormat.lengthSize
    if hasLength { header.flags.insert(.length) }
    lastHeader = bytes.count
    if let session, isEmpty {
      header.flags.insert(.session)
      header.append(to: &bytes)
      bytes.append(bigEndian: session)
    } else {
      header.append(to: &bytes)
    }
    lastLength = hasLength ? bytes.count : nil
    if hasLength { bytes.append(bigEndian: UInt16(truncatingIfNeeded: body)) }
    return true
  }
}
