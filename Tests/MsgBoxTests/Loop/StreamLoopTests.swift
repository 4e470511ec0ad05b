import CMsgBox
import MsgBox
import Testing

/// Streams over real sockets, cut where it hurts by calls that take or give less than they could.
@Suite struct StreamLoopTests {
  /// A message whose bytes tell where they belong.
  private func message(_ count: Int, _ seed: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ seed) }
  }

  /// A server that only listens, and a client of it.
  private struct OneWay {
    let server: TestLoop
    let client: TestLoop
    let connection: Handle

    init() throws {
      server = try TestLoop()
      client = try TestLoop()
      let (_, port) = try server.listening(.tcp, loopback)
      connection = client.connect(Locator(transport: .tcp, host: loopback, port: port))
      try run([client, server]) { [client] in client.count(.connectionSetup) == 1 }
    }

    /// Sends messages and waits until the server has them, unchanged.
    func pass(_ messages: [[UInt8]]) throws {
      server.seen.removeAll()
      for message in messages { #expect(client.send(message, to: connection) == .ok) }
      client.loop.flush()
      try run([server, client]) { server.count(.message) == messages.count }
      #expect(server.seen.map(\.bytes) == messages)
    }
  }

  /// Places in the bytes of a frame where a read may end: each byte of its head, around the last
  /// that leaves enough to be read directly, and around its end.
  private func cuts(_ frameBytes: Int) -> [Int] {
    let last = frameBytes - StreamDeframer.directBytes
    let cuts = Array(1...13) + Array(last - 2...last + 2) + Array(frameBytes - 2...frameBytes + 13)
    return cuts.filter { $0 > 0 }
  }

  @Test(
    "Frames around the size that is read directly arrive whole wherever the reads are cut",
    arguments: [65_523, 65_524, 65_525, 65_536, 65_537, 131_072, 262_132, 300_000])
  func directReads(size: Int) throws {
    try withFaults {
      let pair = try OneWay()
      for (index, cut) in cuts(size + 12).enumerated() {
        cutShort(CMSGBOX_CALL_RECEIVE, to: UInt32(cut), times: index % 2 == 0 ? 1 : 2)
        try pair.pass([message(size, cut), message(5, cut)])
        #expect(cmsgbox_fault_clear() >= 1)
      }
      #expect(pair.server.loop.endpoint.census.incompleteBytes == 0)
    }
  }

  @Test("Lent messages arrive whole and are given back once wherever the writes are cut")
  func lentPieces() throws {
    try withFaults {
      let pair = try OneWay()
      let size = 20_000
      let frame = size + 12
      for cut in Array(1...13) + [frame - 1, frame, frame + 1, frame + 12, frame + 30, 2 * frame] {
        let before = message(size, cut)
        let (small, behind) = (message(18, cut + 1), message(size, cut + 2))
        var released = [0, 0]
        pair.server.seen.removeAll()
        #expect(lend(before, on: pair) { released[0] += 1 } == .ok)
        #expect(pair.client.send(small, to: pair.connection) == .ok)
        #expect(lend(behind, on: pair) { released[1] += 1 } == .ok)
        cutShort(CMSGBOX_CALL_SEND, to: UInt32(cut), times: 3)
        pair.client.loop.flush()
        try run([pair.client, pair.server]) { pair.server.count(.message) == 3 }
        #expect(pair.server.seen.map(\.bytes) == [before, small, behind])
        try run([pair.client]) { released == [1, 1] }
        #expect(cmsgbox_fault_clear() >= 1)
      }
    }
  }

  private func lend(
    _ bytes: [UInt8], on pair: OneWay, _ released: @escaping () -> Void
  ) -> Status {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    unsafe memory.copyBytes(from: bytes)
    let lent = unsafe LentBytes(UnsafeRawBufferPointer(memory)) { given in
      unsafe given.deallocate()
      released()
    }
    return pair.client.loop.endpoint.send(
      lent.span, to: pair.connection, options: SendOptions(), shared: MessageBytes(lent),
      at: pair.client.loop.now)
  }
}
