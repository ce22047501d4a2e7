package shelf

import (
	"net/http"
	"os"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
)

func TestATableThatIsNotThere(t *testing.T) {
	_, err := connect(t).GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String("no.such.shelf"), Key: key("x", 1),
	})
	missing := fails[*types.ResourceNotFoundException](t, err)
	same(t, missing.ErrorMessage(), "Requested resource not found")
	response := fails[*awshttp.ResponseError](t, err)
	same(t, response.HTTPStatusCode(), http.StatusBadRequest)
	if !regexp.MustCompile(`^[A-Z0-9]{52}$`).MatchString(response.ServiceRequestID()) {
		t.Errorf("the request id %q", response.ServiceRequestID())
	}
}

func TestAKeyThatIsNotTheTables(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client)
	wrong := key("x", 1)
	wrong["year"] = &types.AttributeValueMemberS{Value: "not a number"}
	_, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &shelf, Key: wrong})
	refused := fails[smithy.APIError](t, err)
	same(t, refused.ErrorCode(), "ValidationException")
	same(t, refused.ErrorMessage(), "The provided key element does not match the schema")
	same(t, refused.ErrorFault(), smithy.FaultUnknown)
}

func TestAWrongSecretAndAKeyPairThatNobodyHas(t *testing.T) {
	for id, code := range map[string]string{
		os.Getenv("AWS_ACCESS_KEY_ID"): "InvalidSignatureException",
		"AKIAIOSFODNN7EXAMPLE":         "UnrecognizedClientException",
	} {
		stranger := settings(t, "STATOR_ENDPOINT")
		stranger.Credentials = credentials.NewStaticCredentialsProvider(id, "wrong", "")
		_, err := dynamodb.NewFromConfig(stranger).ListTables(t.Context(), &dynamodb.ListTablesInput{})
		same(t, fails[smithy.APIError](t, err).ErrorCode(), code)
	}
}

func TestALostAnswerIsAskedForAgainAndTheTransactionHappensOnce(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client)
	retrying := dynamodb.NewFromConfig(settings(t, "STATOR_LOSSY_ENDPOINT"))
	put := &dynamodb.PutItemInput{TableName: &shelf, Item: item(t, Book{Author: "retry", Year: 1})}
	if _, err := retrying.PutItem(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	built, err := expression.NewBuilder().
		WithUpdate(expression.Add(expression.Name("copies"), expression.Value(1))).
		Build()
	if err != nil {
		t.Fatal(err)
	}
	for round := 1; round <= 3; round++ {
		answer, err := retrying.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{
			TransactItems: []types.TransactWriteItem{{Update: &types.Update{
				TableName: &shelf, Key: key("retry", 1), UpdateExpression: built.Update(),
				ExpressionAttributeNames: built.Names(), ExpressionAttributeValues: built.Values(),
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		attempts, _ := retry.GetAttemptResults(answer.ResultMetadata)
		same(t, len(attempts.Results), 2)
		same(t, read(t, client, shelf, "retry", 1).Copies, round)
	}
}
