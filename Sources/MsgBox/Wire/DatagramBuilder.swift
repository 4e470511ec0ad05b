/// Packs the packets of one session into a datagram of at most 1200 bytes.
///
/// Each packet is written with its length; `seal` takes it out of the last one, whose body runs to
/// the end.
package struct DatagramBuilder: Sendable {
  private var bytes: [UInt8]
  /// How many of `bytes` are written.
  private var count = 0
  /// Where the last packet is, and where its length field is; 0 if it has none.
  private var lastHeader = 0
  private var lastLength = 0

  /// `buffer` is used again, whatever is in it.
  package init(buffer: [UInt8]) {
    bytes = buffer
    fillUp()
  }

  /// Makes room for a whole datagram.
  @inline(never)
  private mutating func fillUp() {
    let missing = WireFormat.maxDatagram - bytes.count
    if missing > 0 { bytes.append(contentsOf: repeatElement(0, count: missing)) }
  }

  package var isEmpty: Bool { count == 0 }

  /// The payload that one more packet without further fields could have as the last of this
  /// datagram, in bytes; 0 also if there is no room for the packet itself. The first packet is
  /// taken to have a session id.
  package var room: Int {
    let start = PacketHeader.size + (isEmpty ? WireFormat.sessionSize : 0)
    return isOpen ? max(WireFormat.maxDatagram - count - start, 0) : 0
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
    _ = append(
      PacketHeader(kind: .datagramNumber), body: WireFormat.datagramNumberSize, session: session
    ) { bytes, offset in bytes.put(number, at: &offset) }
  }

  /// Appends a packet, if it fits. `session` nil leaves the session field out of the first packet.
  package mutating func append(_ head: MessageHead, session: UInt64?, payload: Span<UInt8>) -> Bool
  {
    append(head.header(adding: []), body: head.blockSize + payload.count, session: session) {
      bytes, offset in
      if let messageID = head.messageID {
        bytes.put(messageID, at: &offset)
        if let place = head.place {
          bytes.put(place.channel, at: &offset)
          bytes.put(place.place, at: &offset)
        }
      }
      bytes.put(payload, at: &offset)
    }
  }

  /// Appends a message of one packet and no place behind others, with its length, if it fits. If
  /// not, `append` may still find room for it.
  @inline(__always)
  package mutating func join(_ head: MessageHead, _ payload: Span<UInt8>) -> Bool {
    let front = PacketHeader.size &+ WireFormat.lengthSize
    let body = head.blockSize &+ payload.count
    let end = count &+ front &+ body
    guard lastLength != 0, end <= WireFormat.maxDatagram, end <= bytes.count else { return false }
    let start = count
    let word = head.header(adding: .length).word
    // What is written lies between the two, and no pointer leaves its closure.
    unsafe bytes.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      var target = unsafe base + start
      unsafe target.storeBytes(of: word.bigEndian, as: UInt64.self)
      let length = UInt16(truncatingIfNeeded: body)
      unsafe target.storeBytes(
        of: length.bigEndian, toByteOffset: PacketHeader.size, as: UInt16.self)
      unsafe target += front
      if let messageID = head.messageID {
        unsafe target.storeBytes(of: messageID.bigEndian, as: UInt32.self)
        unsafe target += WireFormat.messageIDSize
      }
      unsafe payload.withUnsafeBytes { source in
        guard let from = source.baseAddress else { return }
        unsafe target.copyMemory(from: from, byteCount: source.count)
      }
    }
    lastHeader = start
    lastLength = start &+ PacketHeader.size
    count = end
    return true
  }

  /// Appends an ack, if it fits. `session` nil leaves the session field out of the first packet.
  package mutating func append(ack: AckBody, session: UInt64?) -> Bool {
    append(PacketHeader(kind: .ack), body: ack.size, session: session) { bytes, offset in
      ack.write(to: &bytes, at: &offset)
    }
  }

  /// Appends a close or heartbeat behind the messages, if it fits. The datagram is not empty.
  package mutating func appendControl(_ packet: ControlPacket) -> Bool {
    guard lastLength != 0, count + PacketHeader.size <= WireFormat.maxDatagram else {
      return false
    }
    lastLength = 0
    var offset = count
    var span = bytes.mutableSpan
    var target = unsafe span.mutableBytes
    target.put(packet.header.word, at: &offset)
    count = offset
    return true
  }

  /// The finished datagram; the builder is empty afterwards.
  package mutating func seal() -> PackedDatagram {
    if lastLength != 0 { removeLastLength() }
    var buffer: [UInt8] = []
    swap(&buffer, &bytes)
    let datagram = PackedDatagram(buffer: buffer, count: count)
    self = DatagramBuilder(empty: [])
    return datagram
  }

  /// The body of the last packet runs to the end, and so needs no length.
  private mutating func removeLastLength() {
    let length = WireFormat.lengthSize
    let (start, end) = (lastLength, count)
    unsafe bytes.withUnsafeMutableBytes { bytes in
      guard start + length <= end, end <= bytes.count, let base = bytes.baseAddress else {
        return
      }
      let body = unsafe base + start
      unsafe body.copyMemory(from: body + length, byteCount: end - start - length)
    }
    count -= length
    bytes[lastHeader] &= ~UInt8(PacketHeader.Flags.length.rawValue >> 8)
  }

  private init(empty: [UInt8]) { bytes = empty }

  /// Whether a packet may come behind those that are there: the last one has a length.
  private var isOpen: Bool { isEmpty || lastLength != 0 }

  /// The bytes that are left behind one more packet with a body of that size; negative if it does
  /// not fit.
  private func room(behind body: Int, session: UInt64?) -> Int {
    let start = PacketHeader.size + (isEmpty && session != nil ? WireFormat.sessionSize : 0)
    return WireFormat.maxDatagram - count - start - body
  }

  /// Writes header, session id and length of a packet and lets `write` add the body, of that size;
  /// false, and nothing is written, if it does not fit.
  @inline(__always)
  private mutating func append(
    _ header: PacketHeader, body: Int, session: UInt64?,
    _ write: (inout MutableRawSpan, inout Int) -> Void
  ) -> Bool {
    let room = room(behind: body, session: session)
    guard room >= 0, isOpen else { return false }
    if bytes.count < WireFormat.maxDatagram { fillUp() }
    var word = header.word
    let hasLength = room >= WireFormat.lengthSize
    if hasLength { word |= UInt64(PacketHeader.Flags.length.rawValue) << 48 }
    var offset = count
    var lengthOffset = 0
    var span = bytes.mutableSpan
    var target = unsafe span.mutableBytes
    if let session, offset == 0 {
      word |= UInt64(PacketHeader.Flags.session.rawValue) << 48
      target.put(word, at: &offset)
      target.put(session, at: &offset)
    } else {
      target.put(word, at: &offset)
    }
    if hasLength {
      lengthOffset = offset
      target.put(UInt16(truncatingIfNeeded: body), at: &offset)
    }
    write(&target, &offset)
    lastHeader = count
    lastLength = lengthOffset
    count = offset
    return true
  }
}

/// A finished datagram: the front of a buffer that is used again and again.
package struct PackedDatagram: Sendable {
  /// At least 1200 bytes, or none.
  package var buffer: [UInt8]
  package var count: Int

  package var span: Span<UInt8> {
    @_lifetime(borrow self) get { buffer.span.extracting(0..<count) }
  }
}
