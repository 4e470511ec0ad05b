import MsgBox
import Testing

/// Which messages share their datagrams.
@Suite("Messages that are to be alone, and such that share")
struct AloneTests {
  static let alone = sendOptions { $0.isAlone = true }

  /// The messages of each datagram that the client sends while `body` runs and a second after.
  private func datagrams(of pair: Pair, _ body: () -> Void) -> [[[UInt8]]] {
    var sent: [[[UInt8]]] = []
    pair.simulation.onDatagram = { datagram in
      guard datagram.to.port == pair.address.port else { return true }
      let messages = steps(datagram.bytes).compactMap(\.packet).filter {
        $0.kind == .oneWay || $0.kind == .reliable
      }
      if !messages.isEmpty { sent.append(messages.map { Array(datagram.bytes[$0.payload]) }) }
      return true
    }
    body()
    pair.run(for: .seconds(1))
    return sent
  }

  private func send(_ number: UInt8, _ pair: Pair, _ options: SendOptions = .init()) {
    #expect(pair.client.send([number], to: pair.up, options: options) == .ok)
  }

  @Test("A message that is to be alone has a datagram of its own, in its place")
  func unreliable() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    let sent = datagrams(of: pair) {
      for number in UInt8(1)...7 {
        send(number, pair, [2, 5, 6].contains(number) ? Self.alone : SendOptions())
      }
    }
    #expect(sent == [[[1]], [[2]], [[3], [4]], [[5]], [[6]], [[7]]])
    #expect(pair.server.log.all(.message).map(\.bytes) == (UInt8(1)...7).map { [$0] })
    pair.finish()
  }

  @Test("So it has if it waits with a key or a deadline")
  func waiting() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    let sent = datagrams(of: pair) {
      for number in UInt8(1)...6 {
        let options = sendOptions {
          $0.key = UInt64(number)
          $0.deadline = number < 3 ? .seconds(1) : Interval(nanoseconds: 0)
          $0.isAlone = number == 2 || number == 5
        }
        send(number, pair, options)
      }
    }
    #expect(sent == [[[1]], [[2]], [[3], [4]], [[5]], [[6]]])
    pair.finish()
  }

  @Test("One that waits goes beside what is packed")
  func waitingBesidePacked() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    let sent = datagrams(of: pair) {
      send(1, pair)
      var options = Self.alone
      options.key = 1
      send(2, pair, options)
      send(3, pair)
    }
    #expect(sent.count == 2 && sent.contains([[2]]) && sent.contains([[1], [3]]))
    pair.finish()
  }

  @Test("So it has if it is reliable, and is delivered in the order of its channel")
  func reliable() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    let sent = datagrams(of: pair) {
      for number in UInt8(1)...6 {
        var options = reliableOptions(channel: 1)
        options.isAlone = [1, 2, 5].contains(number)
        send(number, pair, options)
      }
    }
    #expect(sent == [[[1]], [[2]], [[3], [4]], [[5]], [[6]]])
    #expect(pair.server.log.all(.message).map(\.bytes) == (UInt8(1)...6).map { [$0] })
    pair.finish()
  }

  @Test("What is lost with it is nothing else")
  func oneLoss() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    var count = 0
    pair.simulation.onDatagram = { datagram in
      guard datagram.to.port == pair.address.port else { return true }
      count += 1
      return count != 2
    }
    for number in UInt8(1)...4 { send(number, pair, Self.alone) }
    pair.run(for: .seconds(1))
    #expect(pair.server.log.all(.message).map(\.bytes) == [[1], [3], [4]])
    pair.finish()
  }

  @Test("Over TCP and in several packets it has no effect", arguments: bothTransports)
  func noEffect(transport: Transport) throws {
    let pair = try Pair(transport)
    let large = [UInt8](repeating: 3, count: 3000)
    for bytes in [[1], [2], large, [4]] {
      #expect(pair.client.send(bytes, to: pair.up, options: Self.alone) == .ok)
    }
    _ = try #require(pair.server.wait(for: .message, count: 4))
    let received = pair.server.log.all(.message).map(\.bytes)
    #expect(Set(received) == [[1], [2], large, [4]])
    #expect(transport == .udp || received == [[1], [2], large, [4]])
    pair.finish()
  }

  @Test("Messages of one size make datagrams of one size", arguments: [1, 64, 300, 1024, 1184])
  func oneSize(count: Int) throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    let sent = datagrams(of: pair) {
      for _ in 0..<200 {
        #expect(pair.client.send([UInt8](repeating: 7, count: count), to: pair.up) == .ok)
      }
    }
    #expect(Set(sent.dropLast().map(\.count)).count == (sent.count == 1 ? 0 : 1))
    #expect(sent.reduce(0) { $0 + $1.count } == 200)
    pair.finish()
  }

  @Test("The short way holds the marks, the size and the end of a connection")
  func shortWay() throws {
    var options = ConnectionOptions()
    options.sendMarkMessages = 3
    options.maxMessageBytes = 10
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    pair.run(for: .seconds(1))
    #expect(pair.client.send([UInt8](repeating: 1, count: 11), to: pair.up) == .tooBig)
    for number in UInt8(1)...3 { send(number, pair) }
    #expect(pair.client.send([4], to: pair.up) == .wouldBlock)
    #expect(pair.client.wait(for: .writable)?.handle == pair.up)
    #expect(pair.client.census.queuedMessages == 0)
    send(5, pair)
    #expect(pair.client.disconnect(pair.up) == .ok)
    #expect(pair.client.send([6], to: pair.up) == .ended)
    pair.run(for: .seconds(1))
    #expect(pair.client.send([7], to: pair.up) == .badHandle)
    #expect(pair.server.log.all(.message).map(\.bytes) == [[1], [2], [3], [5]])
    pair.finish()
  }
}
