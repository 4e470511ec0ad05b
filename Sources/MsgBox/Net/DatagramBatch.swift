import CMsgBox

/// What is known of datagrams of one sender that were received together, one behind the other: a
/// train. It is a single one, unless the system has put several together (UDP_GRO).
package struct ReceivedTrain: Equatable, Sendable {
  /// Unspecified on a connected socket.
  package var remote: Address
  /// The address that they were sent to, without a port; unspecified if the system did not tell.
  package var local: Address
  /// Bytes of all.
  package var count: Int
  /// Bytes of each but the last, which may have fewer; 0 only if `count` is.
  package var segment: Int
  /// Whether there was more than its slot has room for: the last datagram is not whole.
  package var isTruncated: Bool

  /// Whether it is a single datagram.
  package var isOne: Bool { segment == count }
}

/// A datagram that waits until the system has room for it.
package struct HeldDatagram: Equatable, Sendable {
  package var remote: Address
  package var local: Address
  package var bytes: [UInt8]
}

/// Flat buffers for up to 32 trains that were received and 64 datagrams to be sent, used for one
/// system call at a time.
@safe package final class DatagramBatch {
  /// Datagrams sent by one call.
  package static let capacity = Int(CMSGBOX_BATCH)
  /// Trains received by one call.
  package static let receiveCapacity = Int(CMSGBOX_RECEIVE_BATCH)
  /// Bytes of the largest train.
  package static let receiveSlotBytes = Int(CMSGBOX_RECEIVE_SLOT)
  /// Bytes of the largest datagram to be sent.
  package static let sendSlotBytes = Int(CMSGBOX_SEND_SLOT)

  private let batch: OpaquePointer
  private let trains: UnsafePointer<cmsgbox_train>
  private let sendingBytes: UnsafeMutablePointer<UInt8>
  private let sending: UnsafeMutablePointer<cmsgbox_datagram>
  /// Whether the last reception filled the batch, so that more may wait.
  package private(set) var isFull = false

  /// Makes the buffers; nil without memory.
  package convenience init?() {
    guard let batch = unsafe cmsgbox_batch_create(),
      let trains = unsafe cmsgbox_batch_received(batch),
      let sendingBytes = unsafe cmsgbox_batch_sending_bytes(batch),
      let sending = unsafe cmsgbox_batch_sending(batch)
    else { return nil }
    unsafe self.init(batch, trains, sendingBytes, sending)
  }

  private init(
    _ batch: OpaquePointer, _ trains: UnsafePointer<cmsgbox_train>,
    _ sendingBytes: UnsafeMutablePointer<UInt8>,
    _ sending: UnsafeMutablePointer<cmsgbox_datagram>
  ) {
    unsafe self.batch = batch
    unsafe self.trains = trains
    unsafe self.sendingBytes = sendingBytes
    unsafe self.sending = sending
  }

  deinit {
    unsafe cmsgbox_batch_destroy(batch)
  }

  // MARK: Receiving

  /// Receives up to `most` trains, at most `receiveCapacity`, of at most `slotBytes`, fewer while they
  /// are long, and returns how many. What was received before is overwritten. A `connected` socket
  /// tells no remote addresses.
  package func receive(
    from descriptor: Int32, isConnected: Bool = false,
    most: Int = DatagramBatch.receiveCapacity, slotBytes: Int = DatagramBatch.receiveSlotBytes
  ) throws(Errno) -> Int {
    var isFull: Int32 = 0
    let result = unsafe cmsgbox_batch_receive(
      batch, descriptor, isConnected ? 1 : 0, UInt32(clamping: most), UInt32(clamping: slotBytes),
      &isFull)
    self.isFull = isFull != 0
    return Int(try checked(result))
  }

  /// Describes train `index` of those received last.
  @inline(__always)
  package func received(_ index: Int) -> ReceivedTrain {
    precondition(index >= 0 && index < Self.receiveCapacity)
    let train = unsafe trains + index
    return unsafe ReceivedTrain(
      remote: Address(train.pointee.remote), local: Address(train.pointee.local),
      count: min(Int(train.pointee.count), Self.receiveSlotBytes),
      segment: Int(train.pointee.segment), isTruncated: train.pointee.truncated != 0)
  }

  /// Hands out the bytes of train `index` of those received last.
  @inline(__always)
  package func withReceivedBytes(_ index: Int, _ body: (Span<UInt8>) -> Void) {
    precondition(index >= 0 && index < Self.receiveCapacity)
    let train = unsafe trains + index
    let count = min(Int(unsafe train.pointee.count), Self.receiveSlotBytes)
    body(unsafe Span(_unsafeStart: train.pointee.bytes, count: count))
  }

  // MARK: Sending

  /// Where datagram `index` begins: behind the one before it, so that they can leave as one train.
  private func offset(_ index: Int) -> Int {
    guard index > 0 else { return 0 }
    let before = unsafe sending + (index - 1)
    return unsafe Int(before.pointee.offset) + Int(before.pointee.count)
  }

  /// Lets `fill` write datagram `index`, behind those before it, and say what it is, nil if there
  /// is none. It has no addresses until `address` is called.
  @inline(__always)
  package func fill(
    _ index: Int, _ fill: (inout MutableSpan<UInt8>) -> Transmit?
  ) -> Transmit? {
    precondition(index >= 0 && index < Self.capacity)
    let start = offset(index)
    var bytes = unsafe MutableSpan(
      _unsafeStart: sendingBytes + start, count: Self.sendSlotBytes)
    guard let transmit = fill(&bytes) else { return nil }
    unsafe sending[index].offset = UInt32(truncatingIfNeeded: start)
    unsafe sending[index].count = UInt32(
      truncatingIfNeeded: min(transmit.count, Self.sendSlotBytes))
    return transmit
  }

  /// Says whereto datagram `index` goes, and which of our addresses it comes from; needless on a
  /// connected socket.
  package func address(_ index: Int, to remote: Address, from local: Address) {
    precondition(index >= 0 && index < Self.capacity)
    unsafe sending[index].remote = cmsgbox_address(remote)
    unsafe sending[index].local = cmsgbox_address(local)
  }

  /// Makes datagram `index`, behind those before it, one of `bytes`, of which it takes at most
  /// `sendSlotBytes`, from `local` to `remote`.
  package func put(
    _ bytes: [UInt8], at index: Int, to remote: Address, from local: Address = .unspecified
  ) {
    _ = fill(index) { room in
      let count = min(bytes.count, room.count)
      for offset in 0..<count { room[offset] = bytes[offset] }
      return Transmit(
        socket: SocketID(rawValue: 0), remote: remote, local: local, count: count)
    }
    address(index, to: remote, from: local)
  }

  /// Copies datagram `index` that waits to be sent, for another batch.
  package func copyOfSending(_ index: Int) -> HeldDatagram {
    precondition(index >= 0 && index < Self.capacity)
    let datagram = unsafe sending[index]
    let start = unsafe sendingBytes + Int(datagram.offset)
    return HeldDatagram(
      remote: Address(datagram.remote), local: Address(datagram.local),
      bytes: unsafe [UInt8](UnsafeBufferPointer(start: start, count: Int(datagram.count))))
  }

  /// Sends the datagrams `range` that were filled in, one behind the other; returns how many left,
  /// from the front. A `connected` socket needs no addresses; one that is not a wildcard must have
  /// no local ones.
  ///
  /// - Parameter trains: Whether those of one path may leave together; told when the system cannot
  ///   do that.
  package func send(
    _ range: Range<Int>, on descriptor: Int32, isIPv6: Bool, isConnected: Bool,
    trains: inout Trains
  ) throws(Errno) -> Int {
    let result = unsafe cmsgbox_batch_send(
      batch, descriptor, UInt32(clamping: range.lowerBound), UInt32(clamping: range.count),
      isIPv6 ? 1 : 0, isConnected ? 1 : 0, &trains.areSent)
    return Int(try checked(result))
  }
}

/// Whether a socket sends datagrams of one size and path as one message (UDP_SEGMENT): it does,
/// until the system refuses.
package struct Trains: Equatable, Sendable {
  fileprivate var areSent: Int32 = 1

  package init() {}

  package var areSupported: Bool { areSent != 0 }
}
