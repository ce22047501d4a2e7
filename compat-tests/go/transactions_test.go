package shelf

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// move is a transaction that carries a copy from one book to another.
func move(t *testing.T, shelf string, from, to Book, token *string) *dynamodb.TransactWriteItemsInput {
	t.Helper()
	change := func(book Book, by, least int) types.TransactWriteItem {
		copies := expression.Name("copies")
		built, err := expression.NewBuilder().
			WithUpdate(expression.Set(copies, expression.Plus(copies, expression.Value(by)))).
			WithCondition(copies.GreaterThanEqual(expression.Value(least))).
			Build()
		if err != nil {
			t.Fatal(err)
		}
		return types.TransactWriteItem{Update: &types.Update{
			TableName: &shelf, Key: key(book.Author, book.Year), UpdateExpression: built.Update(),
			ConditionExpression: built.Condition(), ExpressionAttributeNames: built.Names(),
			ExpressionAttributeValues: built.Values(),
		}}
	}
	return &dynamodb.TransactWriteItemsInput{
		TransactItems:      []types.TransactWriteItem{change(from, -1, 1), change(to, 1, 0)},
		ClientRequestToken: token,
	}
}

// reasons are the codes for which a transaction was cancelled.
func reasons(t *testing.T, err error) []string {
	t.Helper()
	var codes []string
	for _, reason := range fails[*types.TransactionCanceledException](t, err).CancellationReasons {
		codes = append(codes, aws.ToString(reason.Code))
	}
	return codes
}

func TestATransactionHappensOnceForItsToken(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client, books...)
	from, to, token := books[8], books[9], aws.String(rand.Text())
	for range 2 {
		if _, err := client.TransactWriteItems(t.Context(), move(t, shelf, from, to, token)); err != nil {
			t.Fatal(err)
		}
	}
	same(t, read(t, client, shelf, from.Author, from.Year).Copies, from.Copies-1)
	same(t, read(t, client, shelf, to.Author, to.Year).Copies, to.Copies+1)
	_, err := client.TransactWriteItems(t.Context(), move(t, shelf, to, from, token))
	fails[*types.IdempotentParameterMismatchException](t, err)
}

func TestATransactionThatCannotBeIsNotAtAllAndSaysWhy(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client, books...)
	empty, other := books[7], books[5]
	_, err := client.TransactWriteItems(t.Context(), move(t, shelf, empty, other, nil))
	same(t, reasons(t, err), []string{"ConditionalCheckFailed", "None"})
	same(t, read(t, client, shelf, empty.Author, empty.Year), empty)
	same(t, read(t, client, shelf, other.Author, other.Year), other)
}

func TestATransactionReadsAllAtOneMoment(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client, books...)
	get := func(author string, year int) types.TransactGetItem {
		return types.TransactGetItem{Get: &types.Get{TableName: &shelf, Key: key(author, year)}}
	}
	answer, err := client.TransactGetItems(t.Context(), &dynamodb.TransactGetItemsInput{
		TransactItems: []types.TransactGetItem{get("Lem", 1961), get("nobody", 1), get("Lem", 1964)},
	})
	if err != nil {
		t.Fatal(err)
	}
	var found []map[string]types.AttributeValue
	for _, response := range answer.Responses {
		found = append(found, response.Item)
	}
	same(t, values[Book](t, found), []Book{books[0], {}, books[1]})
}

func TestStatementsWriteReadAndGoThroughPages(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client)
	run := func(statement string, parameters ...any) ([]map[string]types.AttributeValue, error) {
		t.Helper()
		answer, err := client.ExecuteStatement(t.Context(), &dynamodb.ExecuteStatementInput{
			Statement: aws.String(fmt.Sprintf(statement, shelf)), Parameters: list(t, parameters...),
		})
		if err != nil {
			return nil, err
		}
		return answer.Items, nil
	}
	insert := `INSERT INTO "%s" VALUE {'author': ?, 'year': ?, 'copies': ?}`
	for year := 1; year <= 5; year++ {
		if _, err := run(insert, "statement", year, 1); err != nil {
			t.Fatal(err)
		}
		_, err := run(insert, "statement", year, 1)
		fails[*types.DuplicateItemException](t, err)
	}
	update := `UPDATE "%s" SET copies = copies + ? WHERE author = ? AND "year" = ? RETURNING ALL NEW *`
	updated, err := run(update, 4, "statement", 3)
	if err != nil {
		t.Fatal(err)
	}
	same(t, values[Book](t, updated), []Book{{Author: "statement", Year: 3, Copies: 5}})
	if _, err := run(`DELETE FROM "%s" WHERE author = ? AND "year" = ?`, "statement", 5); err != nil {
		t.Fatal(err)
	}
	never := `UPDATE "%s" SET copies = 1 WHERE author = ? AND "year" = ? AND copies > 100`
	_, err = run(never, "statement", 1)
	fails[*types.ConditionalCheckFailedException](t, err)

	selecting := &dynamodb.ExecuteStatementInput{
		Statement:  aws.String(fmt.Sprintf(`SELECT "year", copies FROM "%s" WHERE author = ? ORDER BY "year" DESC`, shelf)),
		Parameters: list(t, "statement"),
		Limit:      aws.Int32(3),
	}
	var found [][2]int
	for {
		page, err := client.ExecuteStatement(t.Context(), selecting)
		if err != nil {
			t.Fatal(err)
		}
		for _, book := range values[Book](t, page.Items) {
			found = append(found, [2]int{book.Year, book.Copies})
		}
		if selecting.NextToken = page.NextToken; page.NextToken == nil {
			break
		}
	}
	same(t, found, [][2]int{{4, 1}, {3, 5}, {2, 1}, {1, 1}})
}

func TestStatementsGoInBatchesAndInTransactions(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client, books...)
	title := aws.String(fmt.Sprintf(`SELECT title FROM "%s" WHERE author = ? AND "year" = ?`, shelf))
	batch, err := client.BatchExecuteStatement(t.Context(), &dynamodb.BatchExecuteStatementInput{
		Statements: []types.BatchStatementRequest{
			{Statement: title, Parameters: list(t, "Lem", 1961)},
			{Statement: aws.String(`SELECT * FROM "no.such.shelf" WHERE author = 'x' AND "year" = 1`)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, batch.Responses[0].Item, item(t, map[string]string{"title": "Solaris"}))
	same(t, batch.Responses[1].Error.Code, types.BatchStatementErrorCodeEnumResourceNotFound)

	together := func(years ...int) error {
		var statements []types.ParameterizedStatement
		for _, year := range years {
			statements = append(statements, types.ParameterizedStatement{
				Statement:  aws.String(fmt.Sprintf(`INSERT INTO "%s" VALUE {'author': ?, 'year': ?}`, shelf)),
				Parameters: list(t, "together", year),
			})
		}
		_, err := client.ExecuteTransaction(t.Context(), &dynamodb.ExecuteTransactionInput{
			TransactStatements: statements,
		})
		return err
	}
	if err := together(1, 2); err != nil {
		t.Fatal(err)
	}
	same(t, reasons(t, together(3, 2)), []string{"None", "DuplicateItem"})
	same(t, read(t, client, shelf, "together", 3), Book{})
	same(t, read(t, client, shelf, "together", 2), Book{Author: "together", Year: 2})
}
