import CMsgBox

/// What is known of a datagram that was received.
package struct ReceivedDatagram: Equatable, Sendable {
  package var remote: Address
  /// The address that it was sent to, without a port; unspecified if the system did not tell.
  package var local: Address
  /// Bytes that were received; at most `DatagramBatch.receiveSlotBytes`.
  package var count: Int
  /// Whether it was longer than its slot.
  package var isTruncated: Bool
}

/// A datagram that waits until the system has room for it.
package struct HeldDatagram: Equatable, Sendable {
  package var remote: Address
  package var local: Address
  package var bytes: [UInt8]
}

/// Flat buffers for up to 64 datagrams each way, used for one system call at a time.
@safe package final class DatagramBatch {
  /// Datagrams a call.
  package static let capacity = Int(CMSGBOX_BATCH)
  /// More than any valid datagram has, so that a longer one is seen to be longer.
  package static let receiveSlotBytes = Int(CMSGBOX_RECEIVE_SLOT)
  package static let sendSlotBytes = Int(CMSGBOX_SEND_SLOT)

  private let batch: OpaquePointer
  private let receivedBytes: UnsafeMutablePointer<UInt8>
  private let receivedDatagrams: UnsafePointer<cmsgbox_datagram>
  private let sendingBytes: UnsafeMutablePointer<UInt8>
  private let sendingDatagrams: UnsafeMutablePointer<cmsgbox_datagram>

  /// Makes the buffers; nil without memory.
  package init?() {
    guard let batch = unsafe cmsgbox_batch_create(),
      let receivedBytes = unsafe cmsgbox_batch_received_bytes(batch),
      let receivedDatagrams = unsafe cmsgbox_batch_received(batch),
      let sendingBytes = unsafe cmsgbox_batch_sending_bytes(batch),
      let sendingDatagrams = unsafe cmsgbox_batch_sending(batch)
    else { return nil }
    unsafe self.batch = batch
    unsafe self.receivedBytes = receivedBytes
    unsafe self.receivedDatagrams = receivedDatagrams
    unsafe self.sendingBytes = sendingBytes
    unsafe self.sendingDatagrams = sendingDatagrams
  }

  deinit {
    unsafe cmsgbox_batch_destroy(batch)
  }

  /// Receives up to `capacity` datagrams; returns how many. What was received before is
  /// overwritten.
  package func receive(from descriptor: Int32) throws(Errno) -> Int {
    Int(try checked(unsafe cmsgbox_batch_receive(batch, descriptor)))
  }

  /// Describes datagram `index` of those received last.
  package func received(_ index: Int) -> ReceivedDatagram {
    precondition(index >= 0 && index < Self.capacity)
    let datagram = unsafe receivedDatagrams[index]
    return ReceivedDatagram(
      remote: Address(datagram.remote), local: Address(datagram.local),
      count: min(Int(datagram.count), Self.receiveSlotBytes), isTruncated: datagram.truncated != 0)
  }

  /// Hands out the bytes of datagram `index` of those received last.
  package func withReceivedBytes(_ index: Int, _ body: (Span<UInt8>) -> Void) {
    precondition(index >= 0 && index < Self.capacity)
    let count = min(Int(unsafe receivedDatagrams[index].count), Self.receiveSlotBytes)
    let start = unsafe receivedBytes + index * Self.receiveSlotBytes
    body(unsafe Span(_unsafeStart: start, count: count))
  }

  /// Lets `fill` write datagram `index` and say what it is, nil if there is none.
  package func fill(
    _ index: Int, _ fill: (inout MutableSpan<UInt8>) -> Transmit?
  ) -> Transmit? {
    precondition(index >= 0 && index < Self.capacity)
    let start = unsafe sendingBytes + index * Self.sendSlotBytes
    var bytes = unsafe MutableSpan(_unsafeStart: start, count: Self.sendSlotBytes)
    guard let transmit = fill(&bytes) else { return nil }
    describe(
      index, remote: transmit.remote, local: transmit.local, count: transmit.count)
    return transmit
  }

  /// Makes datagram `index` one of `bytes`, of which it takes at most `sendSlotBytes`, from `local`
  /// to `remote`.
  package func put(
    _ bytes: [UInt8], at index: Int, to remote: Address, from local: Address = .unspecified
  ) {
    precondition(index >= 0 && index < Self.capacity)
    let count = min(bytes.count, Self.sendSlotBytes)
    let start = unsafe sendingBytes + index * Self.sendSlotBytes
    for offset in 0..<count { unsafe start[offset] = bytes[offset] }
    describe(index, remote: remote, local: local, count: count)
  }

  private func describe(_ index: Int, remote: Address, local: Address, count: Int) {
    unsafe sendingDatagrams[index] = cmsgbox_datagram(
      remote: cmsgbox_address(remote), local: cmsgbox_address(local),
      count: UInt32(clamping: count), truncated: 0)
  }

  /// Copies datagram `index` that waits to be sent, for another batch.
  package func copyOfSending(_ index: Int) -> HeldDatagram {
    precondition(index >= 0 && index < Self.capacity)
    let datagram = unsafe sendingDatagrams[index]
    let count = min(Int(datagram.count), Self.sendSlotBytes)
    let start = unsafe sendingBytes + index * Self.sendSlotBytes
    return HeldDatagram(
      remote: Address(datagram.remote), local: Address(datagram.local),
      bytes: unsafe [UInt8](UnsafeBufferPointer(start: start, count: count)))
  }

  /// Sends the datagrams `range` that were filled in; returns how many left, from the front. A
  /// `connected` socket needs no addresses; one that is not a wildcard ignores `Transmit.local`,
  /// which must then be unspecified.
  package func send(
    _ range: Range<Int>, on descriptor: Int32, isIPv6: Bool, isConnected: Bool
  ) throws(Errno) -> Int {
    let result = unsafe cmsgbox_batch_send(
      batch, descriptor, UInt32(clamping: range.lowerBound), UInt32(clamping: range.count),
      isIPv6 ? 1 : 0, isConnected ? 1 : 0)
    return Int(try checked(result))
  }
}
