import MsgBox
import Testing

@Suite("Receive marks")
struct ReceiveMarkTests {
  /// Options with times so short that a test sees silence judged, and a small mark.
  private func options(_ messages: UInt32 = 10) -> ConnectionOptions {
    var options = quickOptions()
    options.receiveMarkMessages = messages
    return options
  }

  /// A server that takes nothing by itself.
  private func pair(_ transport: Transport) throws -> Pair {
    let pair = try Pair(transport, serverOptions: options(), clientOptions: quickOptions())
    pair.server.onEvent = { node, event in
      if event.kind == .message || event.kind == .request {
        node.endpoint.untaken(event.handle, messages: 1, bytes: event.bytes.count)
      }
    }
    // From here on the core knows that somebody keeps messages.
    pair.server.untaken(pair.down, messages: 0)
    return pair
  }

  private func errors(_ node: Node) -> [Status] { node.log.all(.error).map(\.status) }

  @Test("Over UDP what is too much is dropped and counted, and told once an episode")
  func drops() throws {
    let pair = try pair(.udp)
    for episode in 1...2 {
      for _ in 0..<50 { #expect(pair.client.send([1], to: pair.up) == .ok) }
      pair.run(for: .seconds(5))
      #expect(pair.server.log.count(.message) == 10 * episode)
      #expect(pair.server.dropped(.receiveMark) == UInt64(40 * episode))
      let drops = pair.server.endpoint.dropped(.receiveMark, of: pair.down)
      #expect(drops == UInt64(40 * episode))
      #expect(errors(pair.server) == Array(repeating: .receiveMark, count: episode))
      #expect(pair.server.log.last(.error)?.handle == pair.listener)
      pair.server.untaken(pair.down, messages: -10, bytes: -10)
    }
    #expect(pair.client.log.count(.connectionLost) == 0)
    #expect(pair.server.log.count(.connectionLost) == 0)
    pair.finish()
  }

  @Test(
    "A message is counted once, whether it waits to be polled or is kept", arguments: bothTransports
  )
  func oneByOne(transport: Transport) throws {
    let pair = try pair(transport)
    for count in 1...10 {
      #expect(pair.client.send([1], to: pair.up) == .ok)
      pair.run(for: .milliseconds(100))
      #expect(pair.server.log.count(.message) == count)
    }
    #expect(errors(pair.server).isEmpty || transport == .tcp)
    pair.server.untaken(pair.down, messages: -10, bytes: -10)
    pair.finish()
  }

  @Test("At the mark the room comes back below half of it")
  func half() throws {
    let pair = try pair(.udp)
    for _ in 0..<11 { #expect(pair.client.send([1], to: pair.up) == .ok) }
    pair.run(for: .seconds(1))
    pair.server.untaken(pair.down, messages: -5, bytes: -5)
    #expect(pair.client.send([2], to: pair.up) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.server.log.count(.message) == 10)
    pair.server.untaken(pair.down, messages: -1, bytes: -1)
    #expect(pair.client.send([3], to: pair.up) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.server.log.last(.message)?.bytes == [3])
    pair.finish()
  }

  @Test("A reliable message that found no room over UDP comes again, and once")
  func reliable() throws {
    let pair = try pair(.udp)
    let options = { (index: UInt8) in reliableOptions(channel: 1, outcome: UInt(index)) }
    for index in UInt8(0)..<40 {
      #expect(pair.client.send([index], to: pair.up, options: options(index)) == .ok)
    }
    pair.run(for: .seconds(5))
    #expect(pair.server.log.count(.message) == 10)
    #expect(pair.client.log.count(.connectionLost) == 0)
    for _ in 0..<40 where pair.client.log.count(.delivered) < 40 {
      pair.server.untaken(pair.down, messages: -10, bytes: -10)
      pair.run(for: .seconds(5))
    }
    #expect(pair.server.log.all(.message).map(\.bytes) == (UInt8(0)..<40).map { [$0] })
    #expect(pair.client.log.count(.delivered) == 40)
    #expect(pair.client.census.queuedMessages == 0)
    pair.finish()
  }

  @Test("A stream waits, loses nothing, and nobody is silent meanwhile")
  func stream() throws {
    let pair = try pair(.tcp)
    pair.client.streamPiece = 1000
    let big = [UInt8](repeating: 1, count: 10_000)
    for _ in 0..<100 { #expect(pair.client.send(big, to: pair.up) == .ok) }
    pair.run(for: .seconds(20))
    let first = pair.server.log.count(.message)
    #expect(first >= 10 && first <= 12)
    #expect(errors(pair.server) == [.receiveMark])
    #expect(pair.client.census.queuedMessages > 50)
    #expect(pair.server.log.count(.connectionLost) == 0)
    #expect(pair.client.log.count(.connectionLost) == 0)
    for _ in 0..<100 where pair.server.log.count(.message) < 100 {
      pair.server.untaken(pair.down, messages: -20, bytes: -200_000)
      pair.run(for: .seconds(2))
    }
    #expect(pair.server.log.all(.message).count { $0.bytes == big } == 100)
    #expect(pair.server.dropped(.receiveMark) == 0)
    pair.server.untaken(pair.down, messages: -1000, bytes: -1_000_000)
    pair.finish()
  }

  @Test(
    "The peer of a paused stream goes: that is told behind what it has sent",
    arguments: [false, true])
  func end(kills: Bool) throws {
    let pair = try pair(.tcp)
    for index in UInt8(0)..<30 {
      #expect(pair.client.send([index], to: pair.up) == .ok)
      pair.run(for: .milliseconds(5))
    }
    pair.run(for: .seconds(1))
    let first = pair.server.log.count(.message)
    #expect(first >= 10 && first < 30)
    if kills { pair.client.kill() } else { #expect(pair.client.disconnect(pair.up) == .ok) }
    pair.run(for: .seconds(3))
    #expect(pair.server.log.count(.message) == first)
    for _ in 0..<30 where pair.server.log.count(.message) < 30 {
      pair.server.untaken(pair.down, messages: -20, bytes: -20)
      pair.run(for: .seconds(1))
    }
    #expect(pair.server.log.all(.message).map(\.bytes) == (UInt8(0)..<30).map { [$0] })
    pair.server.untaken(pair.down, messages: -20, bytes: -20)
    _ = try #require(pair.server.wait(for: kills ? .connectionLost : .connectionClosed))
    finishAll(pair.simulation)
  }

  @Test("A paused stream is closed, or its listener ended, as any other", arguments: [false, true])
  func ownEnd(endsListener: Bool) throws {
    let pair = try pair(.tcp)
    for _ in 0..<30 {
      #expect(pair.client.send([1], to: pair.up) == .ok)
      pair.run(for: .milliseconds(5))
    }
    if endsListener {
      #expect(pair.server.unlisten(pair.listener) == .ok)
    } else {
      #expect(pair.server.disconnect(pair.down) == .ok)
    }
    _ = try #require(pair.server.wait(for: .connectionClosed))
    let end = try #require(pair.client.wait(for: .connectionClosed))
    #expect(end.status == .endPeer)
    finishAll(pair.simulation)
  }

  @Test("A connection that flushes its reliable messages hears their acknowledgements while paused")
  func flush() throws {
    let pair = try pair(.tcp)
    for _ in 0..<30 {
      #expect(pair.client.send([1], to: pair.up) == .ok)
      pair.run(for: .milliseconds(5))
    }
    let options = sendOptions {
      $0.isReliable = true
      $0.wantsOutcome = true
    }
    #expect(pair.server.send([5], to: pair.down, options: options) == .ok)
    #expect(pair.server.disconnect(pair.down) == .ok)
    _ = try #require(pair.server.wait(for: .connectionClosed))
    #expect(pair.server.log.count(.delivered) == 1)
    finishAll(pair.simulation)
  }

  @Test("Peers that are paused and go leave nothing behind")
  func churn() throws {
    let pair = try pair(.tcp)
    for _ in 0..<30 {
      #expect(pair.client.send([1], to: pair.up) == .ok)
      pair.run(for: .milliseconds(5))
    }
    for _ in 0..<200 {
      let handle = pair.client.connect(.tcp, to: pair.address, options: quickOptions())
      #expect(pair.client.send([1], to: handle) == .ok)
      pair.run(for: .milliseconds(100))
      if pair.client.guarantees.isAlive(handle) { #expect(pair.client.disconnect(handle) == .ok) }
      pair.run(for: .milliseconds(100))
    }
    #expect(errors(pair.server) == [.receiveMark])
    pair.server.untaken(pair.down, messages: -1000, bytes: -1000)
    pair.finish()
  }
}
